"""Interactions in a data frame of polars or pandas."""

from typing import Any, TypeAlias

import polars as pl

from easrec.data.formats import Columns, of_table
from easrec.data.readers import checked
from elasticnas.errors import DataError

__all__ = ["DataFrame", "read_frame"]

DataFrame: TypeAlias = Any
"""Of polars or pandas; pandas need not be installed."""

_NAME = "the data frame"


def read_frame(
    frame: DataFrame, user: str | None = None, item: str | None = None, time: str | None = None
) -> pl.DataFrame:
    """Interactions as :func:`easrec.data.read_interactions` gives them; rows count from 1 in messages.

    Args:
        frame: One row for each interaction.
        user: Column of the user; None takes ``user_id``.
        item: Column of the item; None takes ``item_id``.
        time: Column of the time; None takes ``timestamp`` where there is one, else row order.

    Raises:
        DataError: It is no data frame, is empty, lacks a column, or a row lacks a user or an item.
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
    # only what is read: other columns may hold what polars has no type for
    columns = {str(name): _values(frame[name]) for name in frame.columns if name in needed}
    left = {str(name): None for name in frame.columns if name not in needed}
    return pl.DataFrame(columns, strict=False).with_columns(**{name: pl.lit(None) for name in left})


def _values(column: Any) -> list[Any]:
    """Of a column of pandas, which has several ways to say that nothing is there."""
    values: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return values
