"""Readers of interactions in any known format: user and item as categories, time in nanoseconds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

import polars as pl

from easrec.data.columns import Chosen, Columns, Missing, names_ids, texts
from easrec.data.picking import picked
from easrec.data.recognising import recognised
from easrec.data.times import Times
from elasticnas.errors import DataError

__all__ = ["Read", "Table", "read", "read_interactions", "resolved"]

_NUMBER = r"^([+-]?\d+(\.\d*)?([eE][+-]?\d+)?|\d{4}-\d\d-\d\d.*)$"


@dataclass(frozen=True, eq=False)
class Table:
    """Interactions in memory.

    Attributes:
        name: Name in errors; rows count from 1.
        frame: One row for each interaction.
    """

    name: str
    frame: pl.DataFrame


@dataclass(frozen=True)
class Read:
    """What was read.

    Attributes:
        frame: ``user`` and ``item`` as categories (null where empty), ``time`` in nanoseconds (int64) or null, in the
            order of the files.
        rows: Number of interactions that were read, before conditions.
        description: Format and columns, in one line.
    """

    frame: pl.DataFrame
    rows: int
    description: str

    @property
    def left_out(self) -> int:
        """Interactions that do not satisfy the conditions."""
        return self.rows - len(self.frame)


def read_interactions(
    path: str | Path | Sequence[str | Path],
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    format: str = "auto",
    *,
    header: bool = True,
    separator: str | None = None,
    time_format: str | None = None,
    missing: Missing = "refuse",
    where: str | Sequence[str] = (),
    encoding: str | None = None,
    item_separator: str | None = None,
) -> pl.DataFrame:
    """Read one or several files of interactions.

    Args:
        path: CSV, TSV, Parquet or JSON lines (also compressed), text with one line per user, MovieLens' files,
            RecBole's ``.inter``, SNAP Gowalla check-ins, Kaggle ``DMSC.csv``, or a format of an installed package;
            patterns such as ``part-*.csv`` stand for the files that match, sorted by name.
        user: Column of the user ids; None for the format's default (``user_id`` in a table), or the only column whose
            name can only mean them.
        item: Column of the item ids; None for the format's default (``item_id`` in a table), or such a column.
        time: Column of the time, numbers or dates; None for the format's default (``timestamp`` in a table), or such a
            column; ``"none"`` for row order.
        format: Name of the format, or ``"auto"`` to recognise it.
        header: Whether delimited text starts with a header; without one, columns are named 1, 2, 3 by position.
        separator: Separator of delimited text, ``"blanks"`` for any run of blanks; None to recognise it.
        time_format: Format of dates, such as ``%m/%d/%Y``; None for numbers and ISO dates.
        missing: What ids such as NA and null are: refused, kept as ids, or dropped like empty ones.
        where: Conditions that rows must satisfy, such as ``rating >= 4``.
        encoding: Encoding of text, such as ``latin1``; None for UTF-8.
        item_separator: What separates the items in a cell that holds several; ``"none"`` if none does.

    Returns:
        ``user`` and ``item`` as categories of text exactly as written (null where empty), ``time`` in nanoseconds
        (int64) or null, in the order of the files.

    Raises:
        ConfigError: An option is wrong.
        DataError: A file cannot be read or breaks a rule; the message names the file and the row or column.
        PluginError: A format of an installed package cannot be loaded.
    """
    columns = Columns(
        user, item, time, format, header, separator, time_format, missing, texts(where), encoding, item_separator
    )
    given = [path] if isinstance(path, (str, Path)) else path
    return read([resolved(given)], columns).frame


def resolved(given: Iterable[str | Path]) -> list[Path]:
    """Return the files that paths and patterns stand for.

    Raises:
        DataError: No file matches a pattern.
    """
    found: list[Path] = []
    for each in given:
        if Path(each).exists() or not has_magic(str(each)):
            found.append(Path(each))
            continue
        files = sorted(Path(name) for name in glob(str(each), recursive=True) if Path(name).is_file())
        if not files:
            raise DataError(f"{each}: no file matches; correct the pattern")
        found += files
    return found


def _refuse_twice(paths: Iterable[Path]) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise DataError(f"{path}: given twice; give each file once")
        seen.add(path.resolve())


def read(parts: Sequence[Sequence[Path | Table]], columns: Columns) -> Read:
    """Read the files and tables of one part, or of training, validation and test.

    Args:
        parts: Files and tables of each part; of several, the number is the column ``part`` of the result.
        columns: Which columns are read, and how.

    Raises:
        DataError: A file cannot be read, or a row breaks a rule.
    """
    _refuse_twice(each for part in parts for each in part if isinstance(each, Path))
    reader, sizes = _Reader(columns), []
    for part in parts:
        before = reader.kept
        for each in part:
            reader.add(each)
        sizes.append(reader.kept - before)
    found = reader.finish()
    if len(parts) == 1:
        return found
    numbers = pl.concat(pl.repeat(number, size, dtype=pl.Int8, eager=True) for number, size in enumerate(sizes))
    return Read(found.frame.with_columns(part=numbers), found.rows, found.description)


class _Reader:
    """Reads files part by part, keeping 16 bytes for each interaction."""

    def __init__(self, columns: Columns) -> None:
        self._columns, self._times = columns, Times(columns.time_format)
        self._ids = [pl.Categorical(pl.Categories.random(name)) for name in ("user", "item")]
        self._parts: list[pl.DataFrame] = []
        self._complete: list[pl.Series] = []
        self._descriptions: dict[str, int] = {}
        self._last: Path | str = ""
        self._time: str | None = None
        self.rows = self.kept = 0

    def add(self, source: Path | Table) -> None:
        if isinstance(source, Path):
            self._add_file(source)
            return
        usual = Chosen("user_id", "item_id", "timestamp")
        self._add_parts(source.name, iter([source.frame]), 1, usual, "a data frame")

    def _add_file(self, path: Path) -> None:
        try:
            found = recognised(path, self._columns)
            parts = found.format.read(path, found.layout)
            if found.format.name in ("csv", "tsv"):
                parts = _with_header(path, parts, self._columns)
            text = found.format.separator is not None
            self._add_parts(path, parts, found.first_row, found.format.defaults, found.describe(), text)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read, {error.strerror or error}; check the file and its permissions"
            ) from None

    def _add_parts(
        self,
        path: Path | str,
        parts: Iterator[pl.DataFrame],
        first_row: int,
        defaults: Chosen,
        kind: str,
        text: bool = False,
    ) -> None:
        chosen, before, row = None, self.rows, first_row
        for frame in parts:
            if len(frame) == 0 and chosen is not None:
                continue
            chosen = chosen or self._columns.choose(path, frame, defaults, text)
            self._add(path, frame, chosen, row)
            row += len(frame)
        if row == first_row:
            raise DataError(f"{path}: a header and no rows; expected one interaction per row")
        if self.rows == before:
            raise DataError(f"{path}: every row is empty; expected one interaction per row")
        assert chosen is not None
        self._time = chosen.time or self._time
        described = (
            f"{kind}, user {chosen.user}, item {chosen.item}, {f'time {chosen.time}' if chosen.time else 'no time'}"
        )
        self._descriptions[described] = self._descriptions.get(described, 0) + 1
        self._last = path

    def _add(self, path: Path | str, frame: pl.DataFrame, chosen: Chosen, row: int) -> None:
        found, rows = picked(path, frame, chosen, self._columns, row)
        self.rows += rows
        self.kept += len(found)
        # a row without user or item is dropped, and needs no time
        complete = found["user"].is_not_null() & found["item"].is_not_null()
        self._times.add(path, found["time"].filter(complete), found["row"].filter(complete))
        self._complete.append(complete)
        user, item = self._ids
        self._parts.append(found.select(pl.col("user").cast(user), pl.col("item").cast(item)))

    def finish(self) -> Read:
        frame = pl.concat(self._parts)
        if frame.is_empty():
            wanted = " and ".join(self._columns.where)
            raise DataError(f"{self._last}: none of the {self.rows:,} rows satisfies --where {wanted!r}; correct it")
        times = self._times.finish()
        complete = pl.concat(self._complete)
        if not complete.any():
            raise DataError(f"{self._last}: none of the {len(complete):,} rows has both a user and an item")
        if self._time is None and self._columns.time_format is not None:
            raise DataError(f"{self._last}: --time-format without a column of times; name it by --time")
        if self._time is not None and times.null_count() == len(times):
            raise DataError(
                f"{self._last}: the column {self._time!r} is empty; use the order of the rows by --time none"
            )
        unit = self._times.describe()
        several = "data frames" if self._last and not isinstance(self._last, Path) else "files"
        lines = [f"{n:,} {several} as {line}" if n > 1 else line for line, n in self._descriptions.items()]
        if len(times) < len(complete):
            times = pl.repeat(None, len(complete), dtype=pl.Int64, eager=True).scatter(complete.arg_true(), times)
        return Read(
            frame.with_columns(times.alias("time")), self.rows, "; ".join(lines) + (f" in {unit}" if unit else "")
        )


def _with_header(path: Path, parts: Iterator[pl.DataFrame], columns: Columns) -> Iterator[pl.DataFrame]:
    """Check that the first row is a header, if there is one, and no other row."""
    refuse = _refuse_data_as_header if columns.header else _refuse_header_as_data
    for number, frame in enumerate(parts):
        if number == 0:
            refuse(path, frame, columns)
        if columns.header and frame.filter(pl.all_horizontal(pl.col(name) == name for name in frame.columns)).height:
            raise DataError(
                f"{path}: a row repeats the header; remove it, or give the files that were joined one by one"
            )
        yield frame


def _refuse_data_as_header(path: Path, frame: pl.DataFrame, columns: Columns) -> None:
    """Check that no name of a column is a number, and that ids do not occur again in their column."""
    named = {"user_id", "item_id"} <= set(frame.columns)
    numbers = [] if named else pl.Series(frame.columns).filter(pl.Series(frame.columns).str.contains(_NUMBER)).to_list()
    ids = [name for name in (columns.user, columns.item) if name in frame.columns and (frame[name] == name).any()]
    if numbers or ids:
        raise DataError(
            f"{path}: the first row looks like data ({(numbers + ids)[0]!r} is no column name); if there is no header, "
            "give the columns by position, from 1: --no-header --user N --item N --time N (or none), or, with one line "
            "per user, --format user-lines"
        )


def _refuse_header_as_data(path: Path, frame: pl.DataFrame, columns: Columns) -> None:
    """Check that the first row is no header, and no comment."""
    if columns.user not in frame.columns or columns.item not in frame.columns:
        return
    user, item = ((frame[name].drop_nulls().head(1).to_list() or [""])[0] for name in (columns.user, columns.item))
    if user in ("%", "#") or names_ids(user, item):
        raise DataError(
            f"{path}: the first row looks like a header or a comment (user {user!r}, item {item!r}); remove it, or "
            "leave --no-header out"
        )
