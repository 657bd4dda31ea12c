"""Picks user, item and time of each interaction from the columns of a table."""

from pathlib import Path

import polars as pl

from easrec.data.columns import Chosen, Columns
from easrec.data.dates import in_utc
from easrec.data.lists import exploded, split_cells
from easrec.data.time_columns import MISSING_WORDS
from elasticnas.errors import DataError

__all__ = ["picked"]


def _exact(kind: pl.DataType) -> int:
    """Return the bound below which a kind of floats has all whole numbers."""
    return 2**53 if kind == pl.Float64 else 2**24 if kind == pl.Float32 else 2**11


def picked(
    path: Path | str, frame: pl.DataFrame, chosen: Chosen, columns: Columns, first_row: int
) -> tuple[pl.DataFrame, int]:
    """Return the interactions in a table; rows without any value are left out, and lists give one for each entry.

    Args:
        path: The file, for errors.
        frame: All columns.
        chosen: The columns to read.
        columns: What the caller asked for: conditions, and what ids such as NA are.
        first_row: Number of the first row, for errors.

    Returns:
        ``row``, ``user`` and ``item`` as text, null where a row has none, and ``time`` as text or in nanoseconds; and
        the number of interactions before the conditions.

    Raises:
        DataError: A column cannot be read, lists do not match, or an id may stand for a missing value.
    """
    used = [chosen.user, chosen.item, chosen.time, *(condition.column for condition in columns.conditions)]
    names = list(dict.fromkeys(name for name in used if name is not None))
    parts = {"row": pl.int_range(first_row, first_row + len(frame), eager=True, dtype=pl.Int64)}
    parts |= {f"c{i}": _column(frame, name) for i, name in enumerate(names)}
    at = {name: f"c{i}" for i, name in enumerate(names)}
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    table = split_cells(path, pl.DataFrame(parts).filter(~blank), at, chosen, columns)
    table = exploded(path, table, at, chosen)
    rows = len(table)
    for condition in columns.conditions:
        table = table.filter(condition.holds(path, table[at[condition.column]], table["row"]))
    times = pl.lit(None, dtype=pl.String) if chosen.time is None else _times(path, table[at[chosen.time]], chosen.time)
    table = table.select(
        "row",
        user=_ids(path, table[at[chosen.user]], chosen.user),
        item=_ids(path, table[at[chosen.item]], chosen.item),
        time=times,
    )
    return table.with_columns(_or_null(path, table, name, columns.missing) for name in ("user", "item")), rows


def _column(frame: pl.DataFrame, name: str) -> pl.Series:
    # parts of JSON lines have the columns that occur in them
    return frame[name] if name in frame.columns else pl.Series(name, [None] * len(frame), dtype=pl.String)


def _ids(path: Path | str, ids: pl.Series, name: str) -> pl.Series:
    """Return ids as text; whole numbers stored as floats become integers, so that 10.0 is the id 10."""
    if ids.dtype.is_float():
        # NaN is no id
        ids = ids.fill_nan(None)
        if ((ids != ids.round()) | (ids.abs() >= _exact(ids.dtype))).any():
            raise DataError(
                f"{path}: the ids of {name!r} are floats that are no whole numbers, or larger than {ids.dtype} counts "
                "exactly; store them as text"
            )
        ids = ids.cast(pl.Int64)
    return _text(path, ids, name)


def _text(path: Path | str, values: pl.Series, name: str) -> pl.Series:
    try:
        if values.dtype.is_nested() or values.dtype == pl.Object:
            raise pl.exceptions.InvalidOperationError(f"it holds {str(values.dtype)[:60]}")
        text: pl.Series = values.cast(pl.String)
        return text
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path}: the column {name!r} cannot be read as text ({str(error).splitlines()[0]}); "
            "ids are text or numbers, times numbers or dates"
        ) from None


def _times(path: Path | str, times: pl.Series, name: str) -> pl.Series:
    """Return times as text, and dates in nanoseconds of UTC."""
    if times.dtype.is_float():
        times = times.fill_nan(None)
        if times.dtype != pl.Float64 and (times.abs() > _exact(times.dtype)).any():
            raise DataError(
                f"{path}: the times of {name!r} are {times.dtype}, too coarse for them; store them as integers"
            )
    if times.dtype not in (pl.Date, pl.Datetime):
        return _text(path, times, name)
    return in_utc(path, times, name)


def _or_null(path: Path | str, frame: pl.DataFrame, name: str, missing: str) -> pl.Series:
    """Return ids, null where they are empty or stand for a missing value."""
    ids = frame[name]
    words = ids.is_in(MISSING_WORDS).fill_null(False)
    if missing == "refuse" and words.any():
        at = int(words.arg_true()[0])
        raise DataError(
            f"{path}, row {frame['row'][at]}: the {name} {ids[at]!r} ({int(words.sum()):,} such rows) may be a missing "
            "value; drop these rows by --missing drop, or use it as an id by --missing keep"
        )
    none = (ids.str.strip_chars() == "").fill_null(False)
    return ids.set(none | words if missing == "drop" else none, None)
