"""Recognises the format and the layout of a file by its name and its first rows."""

from dataclasses import dataclass
from pathlib import Path

from easrec.data.blocks import UTF_8, beginning, plain_name
from easrec.data.columns import Columns
from easrec.data.formats import Format, Layout, known_formats, matching
from easrec.data.tables import BLANKS, Dialect, split_row
from elasticnas.errors import DataError

__all__ = ["Recognised", "recognised"]

_BEGINNING = 2**18  # bytes
_ROWS = 100
_SEPARATORS = (",", "\t", ";", "|", "::", BLANKS)
_ARCHIVES = {b"PK\x03\x04": "a zip archive", b"\x28\xb5\x2f\xfd": "zstd-compressed", b"\x1f\x8b": "gzip-compressed"}


@dataclass(frozen=True)
class Recognised:
    """Format and layout of a file."""

    format: Format
    layout: Layout

    @property
    def first_row(self) -> int:
        """Number of the first row of data."""
        return self.format.first_row if self.layout.header else 1

    def describe(self) -> str:
        """Return the format and, for delimited text, its separator, in a few words."""
        if self.format.separator is None:
            return self.format.name
        header = "" if self.first_row > 1 else ", no header"
        return f"{self.format.name} (separator {Dialect(self.layout.separator)}{header})"


def recognised(path: Path, columns: Columns) -> Recognised:
    """Recognise a file, unless ``columns`` give its format.

    Raises:
        DataError: No format or several match, or the options do not fit the format.
        PluginError: A package's format cannot be loaded.
    """
    known = known_formats()
    start = beginning(path, columns.encoding or UTF_8, _BEGINNING)
    if columns.format != "auto":
        if columns.format not in known:
            raise DataError(f"format {columns.format!r} is unknown; choose one of {', '.join(known)}")
        kind = known[columns.format]
    else:
        kind = _kind(path, start, known)
    _refuse_layout(path, kind, columns)
    if kind.separator is None:
        return Recognised(kind, Layout("\t", encoding=columns.encoding))
    separator = columns.separator or kind.separator
    if columns.separator is None and kind.name in ("csv", "tsv"):
        found = _separator(start, kind.separator)
        if found is None and columns.format == "auto" and _one_line_per_user(start):
            return Recognised(known["user-lines"], Layout(BLANKS, encoding=columns.encoding))
        separator = found or separator
    return Recognised(kind, Layout(separator, columns.header, columns.encoding))


def _refuse_layout(path: Path, kind: Format, columns: Columns) -> None:
    for option, given, fits in (
        ("--no-header", not columns.header, kind.name in ("csv", "tsv")),
        ("--separator", columns.separator is not None, kind.separator is not None),
    ):
        if given and not fits:
            raise DataError(
                f"{path}: {option} is for delimited text, not for {kind.name}; leave it out, or add --format csv"
            )
    if columns.encoding is not None and kind.name == "parquet":
        raise DataError(f"{path}: --encoding is for text, and Parquet has none; leave it out")


def _kind(path: Path, start: bytes, known: dict[str, Format]) -> Format:
    found = matching(path, known)
    if len(found) == 1:
        return found[0]
    choices = ", ".join(known)
    if found:
        names = ", ".join(each.name for each in found)
        raise DataError(f"{path}: {names} match this name; give --format, one of {choices}")
    if start.startswith(b"PAR1"):
        return known["parquet"]
    if packed := next((kind for magic, kind in _ARCHIVES.items() if start.startswith(magic)), None):
        raise DataError(
            f"{path}: {packed}; unpack it, and give the file inside it (.gz, .bz2 and .xz are read directly)"
        )
    if b"\0" in start or plain_name(path).endswith((".xlsx", ".h5", ".pkl", ".pickle", ".npy")):
        raise DataError(
            f"{path}: no format matches this file; convert it to CSV or Parquet, or give --format, one of {choices}"
        )
    if start.lstrip().startswith((b"{", b"[")):
        return known["jsonl"]
    return known["csv"] if _separator(start, ",") in (",", ";") else known["tsv"]


def _lines(start: bytes) -> tuple[list[str], str]:
    """Return the first rows that are complete and not blank, and the part of the next one if the beginning cuts it."""
    text = start.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    rows, cut = text.split("\n"), ""
    if len(start) == _BEGINNING:
        cut = rows.pop()
    rows = [row.rstrip("\r") for row in rows if row.strip()]
    return rows[:_ROWS], cut if len(rows) < _ROWS else ""


def _separator(start: bytes, own: str) -> str | None:
    """Return the separator that gives every row the same number of fields, at least 2; the format's own if it does."""
    (lines, cut), widths = _lines(start), dict[str, int]()
    for separator in (own, *(each for each in _SEPARATORS if each != own)):
        if separator == BLANKS and any(own in line for line in lines):
            continue  # blanks within fields
        counts = {len(split_row(line, separator)) for line in lines}
        if counts and (least := len(split_row(cut, separator))) > max(counts):
            counts.add(least)
        if len(counts) > 1 and b'"' in start:
            counts = _widths(start, separator, len(start) == _BEGINNING)  # quoted fields may contain line breaks
        if len(counts) == 1 and (width := counts.pop()) >= 2:
            widths[separator] = width
    if widths.get(";", 0) > widths.get(",", 0) > 0:
        del widths[","]  # the decimal comma
    return next(iter(widths), None)


def _widths(start: bytes, separator: str, cut: bool) -> set[int]:
    """Return the numbers of fields of the first rows, before one that a quote leaves open."""
    dialect, start = Dialect(separator), start.removeprefix(b"\xef\xbb\xbf")
    if not dialect.quoted:
        return set()
    opened = dialect.open_quote(start, 1)
    rows = list(dialect.rows(start))[: -1 if opened or cut else None]
    return {len(fields) for fields in rows if fields}


def _one_line_per_user(start: bytes) -> bool:
    """Return whether each row must be a user followed by items: numbers between blanks, as many as there are."""
    lines, cut = _lines(start)
    if " " in cut:
        lines.append(cut.rpartition(" ")[0])
    rows = [line.split(" ") for line in lines]
    numbers = all(line.replace(" ", "").isdigit() for line in lines)
    several = len(rows) > 1 or (len(rows) == 1 and " " in cut)
    return several and numbers and all(map(len, rows)) and len({row[0] for row in rows}) == len(rows)
