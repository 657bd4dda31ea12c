"""Read an items file: one row an item, its features in named columns."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from easrec.data.formats import read_table
from elasticnas.errors import ConfigError, DataError

__all__ = ["read_items"]


def read_items(path: str | Path, columns: Sequence[str], item: str | None = None, separator: str = "|") -> pl.DataFrame:
    """Read the features of items.

    Args:
        path: CSV, TSV or Parquet (gz too) with named columns, one row for each item, or MovieLens' ``movies.dat``.
        columns: The columns that hold features. A cell may hold several values, or none; columns of lists are taken
            as they are.
        item: Column of the item; None takes ``item_id``, in ``movies.dat`` ``MovieID``.
        separator: Between the values of a cell.

    Returns:
        In the first column the items, as text exactly as written; then the columns by name, as lists of texts without
        blanks around them. The first is ``item``, with underscores after it where a feature has that name.

    Raises:
        ConfigError: No column, the same one twice, or no separator.
        DataError: One line that names the file and the row or column, the rule and the way out.
    """
    path = Path(path)
    if not columns:
        raise ConfigError(f"{path}: which columns hold features? name them by --features")
    if twice := [name for name in columns if list(columns).count(name) > 1]:
        raise ConfigError(f"--features {twice[0]}: named twice; each column once")
    if not separator:
        raise ConfigError("--feature-separator is empty; give what stands between the values of a cell, such as '|'")
    if not path.exists():
        raise DataError(f"{path}: no such file; give the items by --items")
    if path.is_dir():
        raise DataError(f"{path}: a folder; give the file of items inside it")
    try:
        frame, first_row, own_item = read_table(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read, {error.strerror or error}; check the file and its permissions"
        ) from None
    item = item or own_item
    for wanted, option in ((item, "--item"), *((name, "--features") for name in columns)):
        if wanted not in frame.columns:
            raise DataError(
                f"{path}: no column {wanted!r}; the columns are {', '.join(frame.columns)}; name it by {option}"
            )
    try:
        found = frame.select(
            pl.col(item).cast(pl.String).alias(_item_name(columns)),
            *(_values(frame, name, separator) for name in columns),
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path}: a column of {item}, {', '.join(columns)} cannot be read as text ({str(error).splitlines()[0]}); "
            "ids and features are text or numbers"
        ) from None
    return _one_row_each(path, found, first_row)


def _item_name(columns: Sequence[str]) -> str:
    """``item``, or the like that no feature is called."""
    name = "item"
    while name in columns:
        name += "_"
    return name


def _values(frame: pl.DataFrame, name: str, separator: str) -> pl.Expr:
    """A column as lists of texts: blanks around values and empty values dropped."""
    column = pl.col(name)
    if isinstance(frame.schema[name], (pl.List, pl.Array)):
        texts = column.cast(pl.List(pl.String))
    else:
        texts = column.cast(pl.String).str.split(separator)
    value = pl.element().str.strip_chars()
    return texts.list.eval(value.filter(value != ""))


def _one_row_each(path: Path, frame: pl.DataFrame, first_row: int) -> pl.DataFrame:
    # a blank line is no item
    there = ~frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    # beside the frame: a column of row numbers would need a name that no feature has
    rows = pl.int_range(first_row, first_row + len(frame), eager=True).filter(there)
    frame = frame.filter(there)
    if frame.is_empty():
        raise DataError(f"{path}: no row holds anything; expected one item per row")
    items = frame.to_series(0)
    unnamed = rows.filter(items.is_null() | (items.str.strip_chars() == ""))
    if len(unnamed):
        raise DataError(f"{path}, row {unnamed[0]}: no item; fill it in or drop the row")
    again = ~items.is_first_distinct()
    if again.any():
        row, name = rows.filter(again)[0], items.filter(again)[0]
        first = rows.filter(items == name)[0]
        raise DataError(f"{path}, row {row}: item {name!r} again, as in row {first}; keep one row for each item")
    return frame
