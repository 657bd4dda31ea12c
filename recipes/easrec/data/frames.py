"""Reader of interactions in a data frame of polars or pandas."""

from typing import Any, TypeAlias

import polars as pl

from easrec.data.formats import Columns, of_table
from easrec.data.readers import checked
from elasticnas.errors import DataError

__all__ = ["DataFrame", "read_frame"]

DataFrame: TypeAlias = Any
"""A data frame of polars or pandas; pandas need not be installed."""

_NAME = "the data frame"


def read_frame(
    frame: DataFrame, user: str | None = None, item: str | None = None, time: str | None = None
) -> pl.DataFrame:
    """Convert a data frame to the form of :func:`easrec.data.read_interactions`; rows in messages count from 1.

    Args:
        frame: One row for each interaction.
        user: Column of the user ids; None for ``user_id``.
        item: Column of the item ids; None for ``item_id``.
        time: Column of the time; None for ``timestamp``, or for row order if there is no such column.

    Raises:
        DataError: It is not a data frame, is empty, lacks a column, or a row lacks a user or an item.
    """
    table = _polars(frame, {user or "user_id", item or "item_id", time or "timestamp"})
    if table.is_empty():
        raise DataError(f"{_NAME} is empty; expected one interaction per row")
    return checked(_NAME, of_table(_NAME, table, Columns(user, item, time)), 1, time)


def _polars(frame: DataFrame, needed: set[str]) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame
    if not (hasattr(frame, "iloc") and hasattr(frame, "columns")):
        raise DataError(
            f"data is of type {type(frame).__name__}: give a path, a data frame of polars or pandas, or Interactions"
        )
    # only the columns that are read: others may have types unknown to polars
    columns = {str(name): _values(frame[name]) for name in frame.columns if name in needed}
    left = {str(name): None for name in frame.columns if name not in needed}
    return pl.DataFrame(columns, strict=False).with_columns(**{name: pl.lit(None) for name in left})


def _values(column: Any) -> list[Any]:
    """Return the values of a pandas column, with every kind of missing value as None."""
    values: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return values
