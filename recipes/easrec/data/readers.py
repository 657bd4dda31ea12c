"""Read interactions of any known format into user, item (text) and time (seconds)."""

from pathlib import Path

import polars as pl

from easrec.data.formats import FORMATS, Columns, detect
from elasticnas.errors import DataError

__all__ = ["read_interactions"]


def read_interactions(
    path: str | Path,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    format: str = "auto",
) -> pl.DataFrame:
    """Read a file of interactions.

    Args:
        path: CSV, TSV or Parquet (gz too) with named columns, MovieLens ``ratings.dat``, RecBole ``.inter``, SNAP
            Gowalla check-ins, or Kaggle ``DMSC.csv``.
        user: Column of the user; None takes the format's own name (``user_id`` in a table).
        item: Column of the item; likewise ``item_id``.
        time: Column of the time, numbers or ISO dates; None takes ``timestamp`` where there is one, else row order.
        format: One of the formats, or ``"auto"`` to tell by the file's name.

    Returns:
        ``user`` and ``item`` as text exactly as written, ``time`` in seconds or null, rows in the file's order.

    Raises:
        DataError: One line that names the file and the row or column, the rule and the way out.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file; give the interactions by --data")
    if path.is_dir():
        raise DataError(f"{path}: a folder; give the file of interactions inside it")
    if format != "auto" and format not in FORMATS:
        raise DataError(f"format {format!r} is unknown; choose one of {', '.join(FORMATS)}")
    kind = detect(path) if format == "auto" else format
    try:
        frame = FORMATS[kind](path, Columns(user, item, time))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read, {error.strerror or error}; check the file and its permissions"
        ) from None
    if frame.is_empty():
        raise DataError(f"{path}: a header and no rows; expected one interaction per row")
    # row 1 is the first line of the file
    first_row = 1 if kind in ("ratings.dat", "gowalla") else 2
    for name in ("user", "item"):
        missing = frame.with_row_index().filter(pl.col(name).is_null() | (pl.col(name).str.strip_chars() == ""))
        if len(missing):
            raise DataError(f"{path}, row {missing['index'][0] + first_row}: no {name}; fill it in or drop the row")
    return _with_seconds(path, frame, first_row)


def _with_seconds(path: Path, frame: pl.DataFrame, first_row: int) -> pl.DataFrame:
    times = frame["time"]
    if times.null_count() == len(times):
        return frame.with_columns(time=pl.lit(None, dtype=pl.Float64))
    seconds = times.cast(pl.Float64, strict=False)
    if seconds.null_count() == len(seconds):
        text = times.str.replace("Z$", "+00:00").str.replace(" ", "T")
        zoned = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", strict=False, time_unit="us").dt.replace_time_zone(None)
        plain = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us")
        dates = text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
        moments = pl.select(pl.coalesce(zoned, plain, dates)).to_series()
        seconds = moments.dt.epoch("us") / 1e6
    bad = (seconds.is_null() | ~seconds.is_finite()).fill_null(True).arg_true()
    if len(bad):
        row = int(bad[0])
        found = "no time" if times[row] is None else f"the time {times[row]!r} is no number and no ISO date"
        raise DataError(
            f"{path}, row {row + first_row}: {found}; correct it, or leave the time column out to use row order"
        )
    return frame.with_columns(time=seconds)
