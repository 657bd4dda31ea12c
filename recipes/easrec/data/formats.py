"""The table of formats; each format reads a raw file in parts, as tables with named columns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import polars as pl

from easrec.data.blocks import UTF_8, UTF_8_OR_LATIN_1, plain_name
from easrec.data.columns import Chosen
from easrec.data.lines import json_lines, user_lines
from easrec.data.tables import BLANKS, Dialect, delimited, distinct, parquet
from elasticnas.errors import DataError, PluginError, describe_error

__all__ = ["FORMATS", "GROUP", "Format", "Layout", "known_formats", "matching", "unnested"]

GROUP = "easrec.formats"
"""Entry-point group for formats of installed packages."""


@dataclass(frozen=True)
class Layout:
    """Layout of delimited text.

    Attributes:
        separator: Separator between fields.
        header: Whether the first row names the columns; otherwise they are named 1, 2, 3 by position.
        encoding: Encoding of the text; None for the format's.
    """

    separator: str
    header: bool = True
    encoding: str | None = None

    def dialect(self, separator: str | None = None, encoding: str = UTF_8) -> Dialect:
        """Return how fields are separated; the arguments are the format's own choice."""
        return Dialect(separator or self.separator, self.encoding or encoding)


@dataclass(frozen=True)
class Format:
    """A raw format of interactions.

    Attributes:
        name: Name for ``--format``.
        endings: Endings of file names, in lower case and without ``.gz``; the longest matching one decides.
        read: Reads a file and yields it in parts, one row per row of the file, in its order, all with the same columns.
            An entry of the item column may be a list, and that of the time column then one of the same length.
        first_row: Number of the first row of data, for errors: 2 after a header.
        user: Default column of the user ids.
        item: Default column of the item ids.
        time: Default column of the time; without it, and without a column that looks like a time, rows count in order.
        separator: Default separator of delimited text whose layout the caller may choose; None for other formats.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[[Path, Layout], Iterator[pl.DataFrame]]
    first_row: int = 2
    user: str = "user_id"
    item: str = "item_id"
    time: str = "timestamp"
    separator: str | None = None

    @property
    def defaults(self) -> Chosen:
        """The default columns."""
        return Chosen(self.user, self.item, self.time)


def _delimited(path: Path, layout: Layout) -> Iterator[pl.DataFrame]:
    return delimited(path, layout.dialect(), None if layout.header else ())


def _headerless(
    path: Path, layout: Layout, *, separator: str, names: tuple[str, ...], encoding: str = UTF_8
) -> Iterator[pl.DataFrame]:
    for part in delimited(path, layout.dialect(separator, encoding), ()):
        if part.width != len(names):
            raise DataError(f"{path}: expected {len(names)} fields, {', '.join(names)}, found {part.width}")
        part.columns = list(names)
        yield part


def _inter(path: Path, layout: Layout) -> Iterator[pl.DataFrame]:
    """Read RecBole's atomic files: a header such as ``user_id:token``, ``item_id_list:token_seq``."""
    for part in delimited(path, layout.dialect()):
        names = distinct(path, [name.partition(":")[0] for name in part.columns])
        known = set(names)
        if beside := [name for name in names if f"{name}_list" in known]:
            raise DataError(
                f"{path}: each row has a sequence in '{beside[0]}_list' and the item after it in {beside[0]!r}, so "
                "that items occur in several rows; give the file with one interaction per row"
            )
        lists = [name for name in part.columns if name.endswith("_seq")]
        part = part.with_columns(pl.col(lists).str.strip_chars().str.split(" ")) if lists else part
        part.columns = names
        yield part


def _parquet(path: Path, _: Layout) -> Iterator[pl.DataFrame]:
    return (unnested(part, path) for part in parquet(path))


def unnested(part: pl.DataFrame, source: Path | str = "the data frame") -> pl.DataFrame:
    """Return structs as columns such as ``user.id``, and lists of structs as lists, such as ``events.item``.

    Args:
        part: The table.
        source: What it is, for errors.

    Raises:
        DataError: Two columns have one name.
    """
    while nested := [name for name, kind in part.schema.items() if isinstance(_inner(kind), pl.Struct)]:
        columns = {name: [pl.col(name)] for name in part.columns}
        for name in nested:
            fields = _inner(part.schema[name]).fields  # type: ignore[attr-defined]
            columns[name] = [_field(name, part.schema[name], field.name) for field in fields]
        chosen = [column for each in columns.values() for column in each]
        distinct(source, [column.meta.output_name() for column in chosen])
        part = part.select(chosen)
    return part


def _field(name: str, kind: pl.DataType, field: str) -> pl.Expr:
    if isinstance(kind, pl.Struct):
        return pl.col(name).struct.field(field).alias(f"{name}.{field}")
    return pl.col(name).list.eval(pl.element().struct.field(field)).alias(f"{name}.{field}")


def _inner(kind: pl.DataType) -> pl.DataType:
    return kind.inner if isinstance(kind, pl.List) else kind  # type: ignore[return-value]


def _json_lines(path: Path, layout: Layout) -> Iterator[pl.DataFrame]:
    return json_lines(path, layout.encoding or UTF_8)


def _user_lines(path: Path, layout: Layout) -> Iterator[pl.DataFrame]:
    return user_lines(path, layout.dialect())


_RATINGS = ("UserID", "MovieID", "Rating", "Timestamp")
_CHECKINS = ("user", "time", "latitude", "longitude", "location")

FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        Format("csv", (".csv",), _delimited, separator=","),
        Format("tsv", (".tsv", ".txt", ".dat"), _delimited, separator="\t"),
        Format("parquet", (".parquet", ".pq"), _parquet, 1),
        Format("jsonl", (".jsonl", ".ndjson", ".json"), _json_lines, 1),
        Format("user-lines", (), _user_lines, 1, separator=BLANKS),
        Format(
            "u.data",
            ("u.data", ".base"),
            partial(_headerless, separator="\t", names=("user_id", "item_id", "rating", "timestamp")),
            1,
        ),
        Format(
            "ratings.dat",
            ("ratings.dat",),
            partial(_headerless, separator="::", names=_RATINGS, encoding=UTF_8_OR_LATIN_1),
            1,
            *("UserID", "MovieID", "Timestamp"),
        ),
        Format("inter", (".inter",), _inter, separator="\t"),
        Format(
            "gowalla",
            ("totalcheckins.txt",),
            partial(_headerless, separator="\t", names=_CHECKINS),
            1,
            *("user", "location", "time"),
        ),
        Format("dmsc", ("dmsc.csv",), _delimited, 2, "Username", "Movie_Name_EN", "Date", ","),
    )
}


def known_formats() -> dict[str, Format]:
    """Return the formats of this table and of installed packages, by name.

    Raises:
        PluginError: A package's format cannot be loaded, or has the name of another.
    """
    known = dict(FORMATS)
    for point in entry_points(group=GROUP):
        found = _loaded(point)
        if found.name in known:
            raise PluginError(f"two formats have the name {found.name!r}, one of them {point.value}; uninstall one")
        known[found.name] = found
    return known


def _loaded(point: EntryPoint) -> Format:
    try:
        found = point.load()
    except Exception as error:  # the import of a package may raise anything
        raise PluginError(
            f"the format {point.name} ({point.value}) cannot be loaded: {describe_error(error)}"
        ) from None
    if not isinstance(found, Format):
        raise PluginError(f"the format {point.name} ({point.value}): expected an easrec.data.Format, found {found!r}")
    return found


def matching(path: Path, known: dict[str, Format]) -> list[Format]:
    """Return the formats with the longest ending that matches the file's name."""
    name = plain_name(path)
    endings = {
        each.name: max((end for end in each.endings if name.endswith(end)), key=len, default="")
        for each in known.values()
    }
    longest = max(map(len, endings.values()))
    return [known[each] for each, ending in endings.items() if longest and len(ending) == longest]
