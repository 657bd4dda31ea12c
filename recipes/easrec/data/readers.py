"""Reader of interactions in any known format: user and item as text, time in nanoseconds."""

from pathlib import Path
from typing import Literal

import polars as pl

from easrec.data.formats import Columns, detect, known_formats
from easrec.data.times import NO_TIME, nanoseconds
from elasticnas.errors import DataError

__all__ = ["checked", "read_interactions"]

_MISSING = ["NA", "N/A", "<NA>", "NaN", "nan", "null", "NULL", "None"]


def read_interactions(
    path: str | Path,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    format: str = "auto",
    *,
    header: bool = True,
    separator: str | None = None,
    time_format: str | None = None,
    missing: Literal["refuse", "keep", "drop"] = "refuse",
) -> pl.DataFrame:
    """Read a file of interactions.

    Args:
        path: CSV, TSV or Parquet file (also gzipped) with named columns, MovieLens ``ratings.dat``, RecBole ``.inter``,
            SNAP Gowalla check-ins, Kaggle ``DMSC.csv``, or a format of an installed package.
        user: Column of the user ids; None for the format's default (``user_id`` in a table).
        item: Column of the item ids; None for the format's default (``item_id`` in a table).
        time: Column of the time, numbers or dates; None for the format's default (``timestamp`` in a table) or the
            only column whose name can only mean the time; ``"none"`` for row order.
        format: Name of the format, or ``"auto"`` to detect it from the file's name.
        header: Whether delimited text starts with a header; without one, columns are named 1, 2, 3 by position.
        separator: Separator of delimited text; None for the format's.
        time_format: Format of dates, such as ``%m/%d/%Y``; None for numbers and ISO dates.
        missing: What ids such as NA and null are: refused, kept as ids, or dropped like empty ones.

    Returns:
        ``user`` and ``item`` as text exactly as written (null where empty), ``time`` in nanoseconds (int64) or null,
        in the order of the file.

    Raises:
        DataError: The file cannot be read or breaks a rule; the message names the file and the row or column.
        PluginError: A format of an installed package cannot be loaded.
    """
    path, columns = Path(path), Columns(user, item, time, header, separator, time_format, missing)
    if not path.exists():
        raise DataError(f"{path}: no such file; give the interactions by --data")
    if path.is_dir():
        raise DataError(f"{path}: a folder; give the file of interactions inside it")
    kind = detect(path) if format == "auto" else known_formats().get(format)
    if kind is None:
        raise DataError(f"format {format!r} is unknown; choose one of {', '.join(known_formats())}")
    try:
        frame = kind.read(path, columns)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read, {error.strerror or error}; check the file and its permissions"
        ) from None
    if frame.is_empty():
        raise DataError(f"{path}: a header and no rows; expected one interaction per row")
    return checked(path, frame, kind.first_row - (not columns.header and kind.first_row == 2), columns)


def checked(path: Path | str, frame: pl.DataFrame, first_row: int, columns: Columns) -> pl.DataFrame:
    """Check that each interaction has a user and an item, and convert times to numbers.

    Args:
        path: The file, for errors.
        frame: ``user``, ``item`` and ``time`` as text.
        first_row: Number of the first row, for errors.
        columns: What the caller chose.

    Returns:
        ``user`` and ``item``, null where a row has none, and ``time``.

    Raises:
        DataError: A row lacks a valid time, or an id may stand for a missing value.
    """
    frame = frame.with_row_index("row", offset=first_row)
    # skip blank lines
    frame = frame.filter(~pl.all_horizontal(pl.col("user", "item", "time").is_null()))
    if frame.is_empty():
        raise DataError(f"{path}: every row is empty; expected one interaction per row")
    frame = frame.with_columns(_or_null(path, frame, name, columns.missing) for name in ("user", "item"))
    time = columns.time
    if time not in (None, NO_TIME) and frame["time"].null_count() == len(frame):
        raise DataError(f"{path}: the column {time!r} is empty; use the order of the rows by --time none")
    return frame.select("user", "item", time=nanoseconds(path, frame["time"], frame["row"], columns.time_format))


def _or_null(path: Path | str, frame: pl.DataFrame, name: str, missing: str) -> pl.Series:
    """Return ids, null where they are empty or stand for a missing value."""
    ids = frame[name]
    words = ids.is_in(_MISSING).fill_null(False)
    if missing == "refuse" and words.any():
        at = int(words.arg_true()[0])
        raise DataError(
            f"{path}, row {frame['row'][at]}: the {name} {ids[at]!r} ({int(words.sum()):,} such rows) may be a missing "
            "value; drop these rows by --missing drop, or use it as an id by --missing keep"
        )
    none = ids.str.strip_chars() == ""
    return ids.set(none | words if missing == "drop" else none, None)
