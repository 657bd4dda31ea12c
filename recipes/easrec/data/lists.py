"""Lists of items and times: typed, or written in a cell; each entry gives an interaction."""

from pathlib import Path

import polars as pl

from easrec.data.columns import Chosen, Columns
from elasticnas.errors import DataError

__all__ = ["exploded", "split_cells"]

_SAMPLE = 100  # rows
_ID = r"[^\s,;|]*\d[^\s,;|]*"
_LIST = rf"^\s*({_ID}(\s*[,;|\s]\s*{_ID})+|\[.*\])\s*$"


def split_cells(
    path: Path | str, table: pl.DataFrame, at: dict[str, str], chosen: Chosen, columns: Columns
) -> pl.DataFrame:
    """Split the item cells of text into lists, if a separator is given, and time cells with as many entries.

    Args:
        path: The file, for errors.
        table: The columns in use.
        at: Name in the table by name in the file.
        chosen: The columns to read.
        columns: Its ``item_separator``.

    Raises:
        DataError: No separator is given, and most cells look like lists of ids.
    """
    item, separator = at[chosen.item], columns.item_separator
    if table.schema[item] != pl.String:
        return table
    if separator is None:
        sample = table[item].drop_nulls().head(_SAMPLE)
        lists = sample.filter(sample.str.contains(_LIST))
        ids = sample.str.contains(rf"^\s*{_ID}\s*$").sum()
        if len(lists) >= max(1, len(sample) / 2) or (len(lists) and len(lists) + ids == len(sample)):
            raise DataError(
                f"{path}: the cells of {chosen.item!r}, such as {lists[0][:40]!r}, look like lists of items; "
                "give what separates them by --item-separator ' ', or 'none' if each is one id"
            )
    if separator in (None, "none"):
        return table
    table = table.with_columns(_entries(item, separator))
    time = None if chosen.time is None else at[chosen.time]
    if time is not None and table.schema[time] == pl.String:
        lengths = table.select(pl.col(item).list.len(), other=_entries(time, separator).list.len())
        if (lengths[item] == lengths["other"]).all() and (lengths[item] > 1).any():
            table = table.with_columns(_entries(time, separator))
    return table


def _entries(name: str, separator: str | None) -> pl.Expr:
    """Return the entries of cells such as ``1 2 3`` or ``['1', '2']``, without empty ones."""
    entry = pl.element().str.strip_chars(" \t'\"")
    cells = pl.col(name).str.strip_chars(" \t[]()").str.split(separator or " ")
    return cells.list.eval(entry.filter(entry != ""))


def exploded(path: Path | str, table: pl.DataFrame, at: dict[str, str], chosen: Chosen) -> pl.DataFrame:
    """Return one row for each entry of lists; the user and other columns are repeated.

    Raises:
        DataError: Other columns than items and what belongs to them hold lists, or lists have different lengths.
    """
    lists = [name for name, own in at.items() if isinstance(table.schema[own], (pl.List, pl.Array))]
    if not lists:
        return table
    if chosen.user in lists or chosen.item not in lists:
        wrong = next(name for name in lists if name != chosen.item)
        raise DataError(
            f"{path}: {wrong!r} contains lists, {chosen.item!r} does not; lists hold items, and their times"
        )
    if chosen.time is not None and chosen.time not in lists:
        several = table[at[chosen.item]].list.len() > 1
        if several.any():
            raise DataError(
                f"{path}, row {table['row'][int(several.arg_true()[0])]}: the items of a list in {chosen.item!r} share "
                f"one time in {chosen.time!r}; give each its time, or, if the rows and lists of each user are in "
                "order, --time none"
            )
    own = [at[name] for name in lists]
    # lists of a fixed length become lists of any
    kinds = {name: pl.List(table.schema[name].inner) for name in own}  # type: ignore[attr-defined]
    table = table.cast(kinds)  # type: ignore[arg-type]
    lengths = table.select(pl.col(name).list.len().fill_null(0) for name in own)
    for name in own[1:]:
        if (other := lengths[own[0]] != lengths[name]).any():
            where = int(other.arg_true()[0])
            raise DataError(
                f"{path}, row {table['row'][where]}: lists of {lengths[own[0]][where]} and {lengths[name][where]} "
                f"entries in {lists[0]!r} and {lists[own.index(name)]!r}; they must be equally long"
            )
    # an empty list gives one row without an item, as a list that is missing does
    filled = (pl.when(pl.col(name).list.len() > 0).then(pl.col(name)).alias(name) for name in own)
    return table.with_columns(filled).explode(own)
