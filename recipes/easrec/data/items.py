"""Reader of a file of items: one row per item, with features in named columns."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from easrec.data.blocks import UTF_8_OR_LATIN_1, plain_name
from easrec.data.columns import texts
from easrec.data.formats import FORMATS, matching
from easrec.data.tables import Dialect, delimited, parquet, whole
from elasticnas.errors import ConfigError, DataError

__all__ = ["read_items"]


def read_items(
    path: str | Path, columns: str | Sequence[str], item: str | None = None, separator: str = "|"
) -> pl.DataFrame:
    """Read the features of items.

    Args:
        path: CSV, TSV or Parquet file (also gzipped) with named columns, one row per item, or MovieLens'
            ``movies.dat``.
        columns: Columns of features. A cell may contain several values, or none; lists are used as they are.
        item: Column of the item ids; None for ``item_id``, in ``movies.dat`` for ``MovieID``.
        separator: Separator between values within a cell.

    Returns:
        First the items, as text exactly as written; then the columns by name, as lists of stripped strings. The first
        column is named ``item``, followed by underscores if a feature has that name.

    Raises:
        ConfigError: There is no column, a column is given twice, or the separator is empty.
        DataError: The file cannot be read or breaks a rule; the message names the file and the row or column.
    """
    path, columns = Path(path), texts(columns)
    if not columns:
        raise ConfigError(f"{path}: which columns hold features? name them by --features")
    if twice := [name for name in columns if list(columns).count(name) > 1]:
        raise ConfigError(f"--features {twice[0]}: given twice; give each column once")
    if not separator:
        raise ConfigError("--feature-separator is empty; give the separator between values within a cell, such as '|'")
    if not path.exists():
        raise DataError(f"{path}: no such file; give the items by --items")
    if path.is_dir():
        raise DataError(f"{path}: a folder; give the file of items inside it")
    try:
        frame, first_row, own_item = _table(path)
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


def _table(path: Path) -> tuple[pl.DataFrame, int, str]:
    """Read a file; its format follows from its name.

    Returns:
        The table, the number of its first row of data, and the default column of the item ids.

    Raises:
        DataError: The format is not supported, or the file cannot be read.
    """
    kind = next((each.name for each in matching(path, FORMATS)), None)
    if kind == "parquet":
        return whole(path, parquet(path, "item")), 1, "item_id"
    if plain_name(path).endswith("movies.dat"):
        return _movies(path), 1, "MovieID"
    if kind not in ("csv", "tsv"):
        raise DataError(
            f"{path}: items come as .csv, .tsv, .txt or .parquet with a header, or as MovieLens' movies.dat; this is "
            f"{kind or 'none of them'}: write the items as one of them"
        )
    return whole(path, delimited(path, Dialect("," if kind == "csv" else "\t"), what="item")), 2, "item_id"


def _movies(path: Path) -> pl.DataFrame:
    """Read MovieLens ``movies.dat``: ``MovieID::Title::Genres``, no header."""
    frame = whole(path, delimited(path, Dialect("::", UTF_8_OR_LATIN_1), (), "item"))
    if frame.width != 3:
        raise DataError(f"{path}: expected MovieID::Title::Genres in each line, found {frame.width} fields")
    frame.columns = ["MovieID", "Title", "Genres"]
    return frame


def _item_name(columns: Sequence[str]) -> str:
    """Return ``item``, with underscores appended until no feature has this name."""
    name = "item"
    while name in columns:
        name += "_"
    return name


def _values(frame: pl.DataFrame, name: str, separator: str) -> pl.Expr:
    """Return a column as lists of stripped strings, without empty ones."""
    column = pl.col(name)
    if isinstance(frame.schema[name], (pl.List, pl.Array)):
        texts = column.cast(pl.List(pl.String))
    else:
        texts = column.cast(pl.String).str.split(separator)
    value = pl.element().str.strip_chars()
    return texts.list.eval(value.filter(value != ""))


def _one_row_each(path: Path, frame: pl.DataFrame, first_row: int) -> pl.DataFrame:
    # skip blank lines
    there = ~frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    # not a column of the frame, whose name could be that of a feature
    rows = pl.int_range(first_row, first_row + len(frame), eager=True).filter(there)
    frame = frame.filter(there)
    if frame.is_empty():
        raise DataError(f"{path}: every row is empty; expected one item per row")
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
