"""Reader of interactions in a data frame of polars or pandas."""

from collections.abc import Sequence
from datetime import date
from typing import Any, TypeAlias

import polars as pl

from easrec.data.columns import Columns, Missing
from easrec.data.readers import read_table
from easrec.data.tables import distinct
from elasticnas.errors import DataError

__all__ = ["NAME", "DataFrame", "read_frame", "table_of"]

DataFrame: TypeAlias = Any
"""A data frame of polars or pandas; pandas need not be installed."""

NAME = "the data frame"
"""Name of a data frame in messages."""


def read_frame(
    frame: DataFrame,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    *,
    time_format: str | None = None,
    missing: Missing = "refuse",
    where: Sequence[str] = (),
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
        where=tuple(where),
        item_separator=item_separator,
    )
    return read_table(NAME, table_of(frame, columns), columns).frame


def table_of(frame: DataFrame, columns: Columns) -> pl.DataFrame:
    """Return a data frame as one of polars.

    Raises:
        DataError: It is not a data frame, or is empty.
    """
    names = {columns.user or "user_id", columns.item or "item_id", columns.time or "timestamp"}
    table = _polars(frame, names | {condition.column for condition in columns.conditions})
    if table.is_empty():
        raise DataError(f"{NAME} is empty; expected one interaction per row")
    return table


def _polars(frame: DataFrame, needed: set[str]) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame
    if not (hasattr(frame, "iloc") and hasattr(frame, "columns")):
        raise DataError(
            f"data is of type {type(frame).__name__}: give a path, a data frame of polars or pandas, or Interactions"
        )
    distinct(NAME, [str(name) for name in frame.columns])
    # other columns may have types unknown to polars; they are read only if they could be the time
    read = {name: str(name) in needed or _simple(frame[name]) for name in frame.columns}
    columns = {str(name): _values(frame[name]) for name in frame.columns if read[name]}
    left = {str(name): None for name in frame.columns if not read[name]}
    return pl.DataFrame(columns, strict=False).with_columns(**{name: pl.lit(None) for name in left})


def _simple(column: Any) -> bool:
    return getattr(column.dtype, "kind", "O") in "iufM" or all(
        isinstance(value, (str, date)) or value is None for value in column.head(100)
    )


def _values(column: Any) -> Any:
    """Return the values of a pandas column, with every kind of missing value as null."""
    if getattr(column.dtype, "kind", "O") == "M":
        # through numpy, since Python's dates have no nanoseconds
        naive = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
        return pl.Series(naive.to_numpy())
    values = column.astype(object).where(column.notna(), None)
    # timestamps of pandas have nanoseconds, Python's dates have not
    return [str(value) if hasattr(value, "nanosecond") else value for value in values.tolist()]
