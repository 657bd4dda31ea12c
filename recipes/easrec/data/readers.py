"""Reader of interactions in any known format: user and item as text, time in seconds."""

from pathlib import Path

import polars as pl

from easrec.data.formats import Columns, detect, known_formats
from elasticnas.errors import DataError

__all__ = ["checked", "read_interactions"]


def read_interactions(
    path: str | Path,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    format: str = "auto",
) -> pl.DataFrame:
    """Read a file of interactions.

    Args:
        path: CSV, TSV or Parquet file (also gzipped) with named columns, MovieLens ``ratings.dat``, RecBole ``.inter``,
            SNAP Gowalla check-ins, Kaggle ``DMSC.csv``, or a format of an installed package.
        user: Column of the user ids; None for the format's default (``user_id`` in a table).
        item: Column of the item ids; None for the format's default (``item_id`` in a table).
        time: Column of the time, numbers or ISO dates; None for the format's default (``timestamp`` in a table), or
            for row order if there is no such column.
        format: Name of the format, or ``"auto"`` to detect it from the file's name.

    Returns:
        ``user`` and ``item`` as text exactly as written, ``time`` as a number (dates in seconds) or null, in the order
        of the file.

    Raises:
        DataError: The file cannot be read or breaks a rule; the message names the file and the row or column.
        PluginError: A format of an installed package cannot be loaded.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file; give the interactions by --data")
    if path.is_dir():
        raise DataError(f"{path}: a folder; give the file of interactions inside it")
    kind = detect(path) if format == "auto" else known_formats().get(format)
    if kind is None:
        raise DataError(f"format {format!r} is unknown; choose one of {', '.join(known_formats())}")
    try:
        frame = kind.read(path, Columns(user, item, time))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read, {error.strerror or error}; check the file and its permissions"
        ) from None
    if frame.is_empty():
        raise DataError(f"{path}: a header and no rows; expected one interaction per row")
    return checked(path, frame, kind.first_row, time)


def checked(path: Path | str, frame: pl.DataFrame, first_row: int, time: str | None) -> pl.DataFrame:
    """Check that each interaction has a user and an item, and convert times to numbers.

    Args:
        path: The file, for errors.
        frame: ``user``, ``item`` and ``time`` as text.
        first_row: Number of the first row, for errors.
        time: Column of the time, if the caller named one.

    Raises:
        DataError: A row lacks a user, an item or a valid time.
    """
    frame = frame.with_row_index("row", offset=first_row)
    # skip blank lines
    frame = frame.filter(~pl.all_horizontal(pl.col("user", "item", "time").is_null()))
    for name in ("user", "item"):
        missing = frame.filter(pl.col(name).is_null() | (pl.col(name).str.strip_chars() == ""))
        if len(missing):
            raise DataError(f"{path}, row {missing['row'][0]}: no {name}; fill it in or drop the row")
    if frame.is_empty():
        raise DataError(f"{path}: every row is empty; expected one interaction per row")
    if time is not None and frame["time"].null_count() == len(frame):
        raise DataError(f"{path}: the column {time!r} is empty; leave --time out to use row order")
    return _with_seconds(path, frame)


def _with_seconds(path: Path | str, frame: pl.DataFrame) -> pl.DataFrame:
    times, rows = frame["time"], frame["row"]
    frame = frame.drop("row")
    if times.null_count() == len(times):
        return frame.with_columns(time=pl.lit(None, dtype=pl.Float64))
    whole = times.cast(pl.Int64, strict=False)
    if whole.null_count() == 0:
        # as integers, since floats are too coarse for nanoseconds
        return frame.with_columns(time=whole)
    seconds = times.cast(pl.Float64, strict=False)
    if seconds.null_count() == len(seconds):
        seconds = _seconds_of_dates(times)
    bad = (seconds.is_null() | ~seconds.is_finite()).fill_null(True).arg_true()
    if len(bad):
        first = int(bad[0])
        found = "no time" if times[first] is None else f"the time {times[first]!r} is neither a number nor an ISO date"
        raise DataError(
            f"{path}, row {rows[first]}: {found}; correct it, or leave the time column out to use row order"
        )
    return frame.with_columns(time=seconds)


def _seconds_of_dates(times: pl.Series) -> pl.Series:
    """Convert ISO dates, with or without time of day and zone (default UTC), to seconds since 1970; others to null."""
    text = times.str.replace(r"^(\d{4}-\d\d-\d\d) ", "${1}T").str.replace(r"\s*(Z|UTC)$", "+00:00")
    found = []
    for form in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"):
        found.append(text.str.to_datetime(f"{form}%:z", strict=False, time_unit="us").dt.replace_time_zone(None))
        found.append(text.str.to_datetime(form, strict=False, time_unit="us"))
    found.append(text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")))
    return pl.select(pl.coalesce(found)).to_series().dt.epoch("us") / 1e6
