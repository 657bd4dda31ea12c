"""Reader of interactions in a data frame of polars or pandas."""

from collections.abc import Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from easrec.data.columns import Columns, Missing, texts
from easrec.data.formats import unnested
from easrec.data.readers import Table, read
from easrec.data.tables import distinct
from easrec.data.time_columns import names_time
from elasticnas.errors import ConfigError, DataError

__all__ = ["NAME", "DataFrame", "read_frame", "table_of"]

DataFrame: TypeAlias = Any
"""A data frame of polars or pandas; pandas need not be installed."""

NAME = "the data frame"
"""Name of a data frame in messages."""

_SIMPLE = (str, date, time, timedelta, int, float, Decimal, np.generic, list, tuple, np.ndarray, dict)
_OF_FILES = {"--format", "--no-header", "--separator", "--encoding"}


def read_frame(
    frame: DataFrame,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    *,
    time_format: str | None = None,
    missing: Missing = "refuse",
    where: str | Sequence[str] = (),
    item_separator: str | None = None,
) -> pl.DataFrame:
    """Convert a data frame to the form of :func:`easrec.data.read_interactions`; rows in messages count from 1.

    Args:
        frame: One row for each interaction, or lists of items and times.
        user: Column of the user ids; None for ``user_id``, or the only column whose name can only mean them.
        item: Column of the item ids; None for ``item_id``, or such a column.
        time: Column of the time; None for ``timestamp``, or such a column; ``"none"`` for row order.
        time_format: Format of dates, such as ``%m/%d/%Y``.
        missing: What ids such as NA and null are: refused, kept as ids, or dropped like empty ones.
        where: Conditions that rows must satisfy, such as ``rating >= 4``.
        item_separator: What separates the items in a cell that holds several; ``"none"`` if none does.

    Raises:
        ConfigError: An option is wrong.
        DataError: It is not a data frame, is empty, lacks a column, or a time is wrong.
    """
    columns = Columns(
        user,
        item,
        time,
        time_format=time_format,
        missing=missing,
        where=texts(where),
        item_separator=item_separator,
    )
    return read([[table_of(frame, columns)]], columns).frame


def table_of(frame: DataFrame, columns: Columns, name: str = NAME) -> Table:
    """Return a data frame as a table to read.

    Args:
        frame: A data frame of polars or pandas.
        columns: Which columns are read.
        name: Name of the data frame in errors.

    Raises:
        ConfigError: An option is for files only.
        DataError: It is not a data frame, or is empty.
    """
    if only := [option for option in columns.given if option in _OF_FILES]:
        raise ConfigError(f"{only[0]} is for files, not for a data frame; leave it out")
    names = {columns.user or "user_id", columns.item or "item_id", columns.time or "timestamp"}
    _refuse_times_in_index(name, frame)
    table = unnested(_polars(name, frame, names | {condition.column for condition in columns.conditions}))
    if table.is_empty():
        raise DataError(f"{name} is empty; expected one interaction per row")
    return Table(name, table)


def _polars(name: str, frame: DataFrame, needed: set[str]) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame
    if not (hasattr(frame, "iloc") and hasattr(frame, "columns")):
        raise DataError(
            f"{name.replace(' frame', '')} is of type {type(frame).__name__}: give a path, a data frame of polars or "
            "pandas" + (", or Interactions" if name == NAME else "")
        )
    distinct(name, [str(each) for each in frame.columns])
    # other columns may have types unknown to polars; they are read only if they could be the time
    parents = needed | {each.partition(".")[0] for each in needed}
    read = {each: str(each) in parents or _simple(frame[each]) for each in frame.columns}
    columns = {str(each): _values(frame[each]) for each in frame.columns if read[each]}
    left = {str(each): None for each in frame.columns if not read[each]}
    return pl.DataFrame(columns, strict=False).with_columns(**{each: pl.lit(None) for each in left})


def _refuse_times_in_index(name: str, frame: DataFrame) -> None:
    """Check that the index of a pandas data frame, which is not read, holds no times."""
    index = getattr(frame, "index", None)
    names = [str(each) for each in getattr(index, "names", []) if each is not None]
    kinds = [str(level.dtype) for level in getattr(index, "levels", [index]) if hasattr(level, "dtype")]
    if any(kind.startswith(("datetime", "period")) for kind in kinds) or any(map(names_time, names)):
        raise DataError(f"{name}: its index holds times, and is not read; make it a column by reset_index()")


def _simple(column: Any) -> bool:
    if getattr(column.dtype, "kind", "O") in "iufMm":
        return True
    first = [value for value in column.head(100) if value is not None]
    return all(isinstance(value, _SIMPLE) or type(value).__name__ in ("Period", "NAType") for value in first)


def _values(column: Any) -> Any:
    """Return the values of a pandas column, with every kind of missing value as null."""
    if getattr(column.dtype, "kind", "O") == "M":
        # through numpy, since Python's dates have no nanoseconds
        naive = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
        return pl.Series(naive.to_numpy())
    values = column.astype(object).where(column.notna(), None)
    # timestamps of pandas have nanoseconds, Python's dates have not
    odd = ("nanosecond", "start_time")
    return [
        str(value) if any(hasattr(value, name) for name in odd) or isinstance(value, (time, np.datetime64)) else value
        for value in values.tolist()
    ]
