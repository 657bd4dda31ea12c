"""Parsers of delimited text, with all columns as text, and of Parquet; both in parts, and errors give the row."""

import csv
import io
import re
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import IO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from easrec.data.blocks import UTF_8, blocks, open_file, plain_name
from elasticnas.errors import DataError

__all__ = ["BLANKS", "Dialect", "delimited", "distinct", "parquet", "split_row", "whole"]

BLANKS = "blanks"
"""Separator that stands for any run of blanks and tabs."""

_LONGEST = 2**31 - 1  # characters of a field; the csv module allows 131,072
_PARSING = Lock()
_JOINED = b"\x1f"  # stands for separators that are not a single character
_EXPANDS = "expands to more than {:,} MiB, which no such table does; write it again, with fewer repetitions"
_PART = 2**26  # bytes of a Parquet file that are read together
_ROWS = 2**22  # rows that are read together: repeated values take no bytes in the file
_VIEW = 16  # bytes of each text besides its characters
_FAILED = 3  # exit code
_DECODE = f"""
import io, sys
import polars as pl
try:
    table = pl.scan_parquet(io.BytesIO(sys.stdin.buffer.read()))
    for first in range(0, table.select(pl.len()).collect().item(), {_ROWS}):
        table.slice(first, {_ROWS}).collect()
except BaseException as error:  # panics are no Exception
    sys.stdout.write((str(error).splitlines() or [type(error).__name__])[0])
    sys.exit({_FAILED})
"""


class Dialect:
    """How the fields of delimited text are separated.

    Attributes:
        separator: One or more characters, or ``BLANKS``.
        quoted: Whether fields may be quoted: with commas and semicolons. In tab-separated text a quote is an ordinary
            character.
        encoding: Encoding of the text.
    """

    def __init__(self, separator: str, encoding: str = UTF_8) -> None:
        self.separator, self.quoted, self.encoding = separator, separator in (",", ";"), encoding
        simple = len(separator) == 1
        self.character = separator if simple else _JOINED.decode()
        self._pattern = (
            None if simple else re.compile(rb"[ \t]+" if separator == BLANKS else re.escape(separator.encode()))
        )

    def __str__(self) -> str:
        return {"\t": "tab", " ": "blank", BLANKS: BLANKS}.get(self.separator, repr(self.separator))

    def joined(self, data: bytes) -> bytes:
        """Return text whose fields are separated by a single character."""
        if self._pattern is None:
            return data
        if self.separator == BLANKS:
            # first to single blanks: a pattern for runs at the end of a row takes quadratic time on other long runs
            data = re.sub(rb"(?m)^ | (?=\r?$)", b"", self._pattern.sub(b" ", data))
        return self._pattern.sub(_JOINED, data)

    def rows(self, data: bytes, strict: bool = False) -> Iterator[list[str]]:
        """Yield the fields of each row; of a blank one, none."""
        text = io.StringIO(data.decode("utf-8", "replace"), newline="")
        reader = csv.reader(
            text,
            delimiter=self.character,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            strict=strict,
        )
        while (fields := _next(reader)) is not None:
            yield fields

    def open_quote(self, data: bytes, first: int) -> int | None:
        """Return the number of the row with a quote that is never closed; ``first`` is that of the first row."""
        if not self.quoted or data.count(b'"') % 2 == 0:
            return None
        number = first
        try:
            for _ in self.rows(data, strict=True):
                number += 1
        except csv.Error as error:
            return number if "end of data" in str(error) else None
        return None

    def quotes_within_fields(self, data: bytes) -> bool:
        """Return whether a quote neither begins nor ends a field, nor is doubled in a quoted one."""
        if not self.quoted or b'"' not in data:
            return False
        text = np.frombuffer(b"\n" + data + b"\n", dtype=np.uint8)
        quotes = np.flatnonzero(text == ord('"'))
        opening, closing = quotes[::2], quotes[1::2]
        begins = np.isin(text[opening - 1], list(b'"\n' + self.character.encode()))
        ends = np.isin(text[closing + 1], list(b'"\r\n' + self.character.encode()))
        return len(quotes) % 2 == 1 or not (begins.all() and ends.all())


def _next(reader: Iterator[list[str]]) -> list[str] | None:
    """Return the next row, however long its fields are; None after the last."""
    with _PARSING:  # the limit is that of the process, so it is restored after each row
        usual = csv.field_size_limit(_LONGEST)
        try:
            return next(reader, None)
        finally:
            csv.field_size_limit(usual)


def split_row(line: str, separator: str) -> list[str]:
    """Return the fields of one row."""
    dialect = Dialect(separator)
    return next(dialect.rows(dialect.joined(line.encode())), [])


def whole(path: Path, parts: Iterator[pl.DataFrame]) -> pl.DataFrame:
    """Return all parts of a table as one.

    Raises:
        DataError: The file expands to far more than tables do.
    """
    kept, size, most = [], 0.0, largest(path)
    for part in parts:
        kept.append(part)
        size += part.estimated_size() + _VIEW * part.height * part.width
        if size > most:
            raise DataError(f"{path}: {_EXPANDS.format(most // 2**20)}")
    return pl.concat(kept)


def largest(path: Path) -> int:
    """Return the bytes that a file may expand to: of small files, only repeated bytes expand two hundredfold."""
    return max(2**28, 200 * path.stat().st_size)


def _require_decodable(path: Path, stream: IO[bytes]) -> None:
    """Decode a small Parquet file in another process first: at some damage, the decoder aborts or prints its stack.

    Raises:
        DataError: The file cannot be decoded.
    """
    data = stream.read(_PART + 1)
    stream.seek(0)
    if len(data) > _PART or not sys.executable:
        return
    done = subprocess.run([sys.executable, "-I", "-c", _DECODE], input=data, capture_output=True)
    if done.returncode < 0 or done.returncode == _FAILED:
        reason = done.stdout.decode(errors="replace") or "damaged: its decoder aborts"
        raise DataError(f"{path}: not a readable Parquet file ({reason}); write it again")


def _unpacked(path: Path, stream: IO[bytes]) -> bytes:
    most = largest(path)
    data = stream.read(most + 1)
    if len(data) > most:
        raise DataError(f"{path}: {_EXPANDS.format(most // 2**20)}")
    return data


def delimited(
    path: Path, dialect: Dialect, names: Sequence[str] | None = None, what: str = "interaction"
) -> Iterator[pl.DataFrame]:
    """Parse delimited text in parts; all columns are text.

    Args:
        path: The file.
        dialect: How fields are separated.
        names: Names of the columns of a file without header, empty for 1, 2, 3; None if the first row names them.
        what: What each row contains, for errors.

    Raises:
        DataError: A row has too many or too few fields, or two columns have one name.
    """
    header, found, row = names is None, list(names or ()), 1
    for data in blocks(path, what, dialect.encoding, dialect.quoted):
        data = dialect.joined(data)
        if not data.strip():
            row += data.count(b"\n")
            continue
        if opened := dialect.open_quote(data, row):
            raise DataError(
                f"{path}, row {opened}: a quote opens a field and is not closed before the end of the file; close it, "
                "or double it in a quoted field if it belongs to the text"
            )
        if not found:
            first = next(fields for fields in dialect.rows(data) if fields)
            if len(first) > 1 and not dialect.quoted and all(len(c) > 1 and c[0] == c[-1] == '"' for c in first):
                raise DataError(
                    f"{path}: the fields are quoted, and with {dialect} between them quotes are characters; write it "
                    "without quotes, or with commas"
                )
            found = _names(path, first) if header else [str(position) for position in range(1, len(first) + 1)]
        frame = _parsed(path, data, dialect, len(found), row, what)
        frame.columns = found
        row += len(frame)
        if header:
            frame, header = _without_header(frame), False
        yield frame


def _names(path: Path, fields: list[str]) -> list[str]:
    """Return the names in the header without blanks around them."""
    return distinct(path, [name.strip() for name in fields], " in the header")


def distinct(path: Path | str, names: list[str], where: str = "") -> list[str]:
    """Return names of columns.

    Raises:
        DataError: A name occurs twice.
    """
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        number = re.fullmatch(r"[+-]?\d+(\.\d*)?", twice[0]) and where
        headerless = ", or, if that is no header, add --no-header and give columns by position" if number else ""
        raise DataError(f"{path}: the column {twice[0]!r} occurs twice{where}; rename one{headerless}")
    return names


def _without_header(frame: pl.DataFrame) -> pl.DataFrame:
    # blank rows before the header are kept, so that rows are counted like those of the file
    at = int((~_blank(frame)).arg_true()[0])
    return pl.concat([frame.head(at), frame.slice(at + 1)])


def _blank(frame: pl.DataFrame) -> pl.Series:
    return frame.select(pl.all_horizontal(pl.all().is_null())).to_series()


def _parsed(path: Path, data: bytes, dialect: Dialect, width: int, first: int, what: str) -> pl.DataFrame:
    irregular = dialect.quotes_within_fields(data)
    if irregular and (read := _read_strictly(data, dialect, width)) is not None:
        return read
    between, quote = dialect.character, '"' if dialect.quoted else None
    header = between.join(map(str, range(width))).encode() + b"\n"
    try:
        frame = pl.read_csv(header + data, separator=between, infer_schema=False, quote_char=quote)
    except pl.exceptions.PolarsError as error:
        row = _ragged_row(data, dialect, width, first)
        where = f"{path}, row {row}" if row else str(path)
        reason = "its number of fields differs from the first row's" if row else str(error).splitlines()[0]
        quotes = ", and quotes within fields doubled, in quoted fields" if irregular else ""
        raise DataError(f"{where}: {reason}; one {what} per line, {dialect} between fields{quotes}") from None
    if irregular and len(frame) != data.count(b"\n") + (not data.endswith(b"\n")):
        raise DataError(
            f"{path}: quotes within fields make it unclear where rows end, after row {first}; double such quotes and "
            "quote the field, or leave all out"
        )
    # polars pads short rows with null, like an empty last field: then look for a short row with the csv module
    filled = frame[:, -1].is_null() & ~_blank(frame)
    if filled.any() and (row := _short_row(data, dialect, width, filled.to_numpy(), first)):
        raise DataError(
            f"{path}, row {row}: fewer fields than the {width} columns; one {what} per line, "
            f"{dialect} between fields, empty ones too"
        )
    return frame


def _read_strictly(data: bytes, dialect: Dialect, width: int) -> pl.DataFrame | None:
    """Read rows in which unquoted fields contain quotes, such as ``5" disk``; None if rows would be ambiguous."""
    try:
        rows = [fields or [""] * width for fields in dialect.rows(data, strict=True)]
    except csv.Error:
        return None
    if any(len(fields) != width for fields in rows):
        return None
    columns = {str(at): [fields[at] or None for fields in rows] for at in range(width)}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def _ragged_row(data: bytes, dialect: Dialect, width: int, first: int) -> int | None:
    """Return the number of the first row whose field count differs."""
    number = first - 1
    try:
        for number, fields in enumerate(dialect.rows(data), first):
            if fields and len(fields) != width:
                return number
    except csv.Error:
        return number + 1
    return None


def _short_row(data: bytes, dialect: Dialect, width: int, filled: NDArray[np.bool_], first: int) -> int | None:
    """Return the first row with fewer than ``width`` fields among the padded ones; ``filled[0]`` is row ``first``."""
    if b'"' not in data and data.count(dialect.character.encode()) == (width - 1) * _lines(data):
        return None
    number = first - 1
    try:
        for number, fields in enumerate(dialect.rows(data), first):
            # check both, in case the two parsers treat quotes differently
            if fields and len(fields) < width and number < first + len(filled) and filled[number - first]:
                return number
    except csv.Error:  # a row that cannot be checked is refused
        return number + 1
    return None


def _lines(data: bytes) -> int:
    return len(re.findall(rb"[^\r\n]+", data))


def parquet(path: Path, what: str = "interaction") -> Iterator[pl.DataFrame]:
    """Read a Parquet file in parts.

    Args:
        path: The file, also compressed.
        what: What each row contains, for errors.

    Raises:
        DataError: The file is not a Parquet file, or has no rows.
    """
    with open_file(path) as stream:
        compressed = plain_name(path) != path.name.lower()
        try:
            _require_decodable(path, stream)
            table = pl.scan_parquet(io.BytesIO(_unpacked(path, stream)) if compressed else path, glob=False)
            rows = int(table.select(pl.len()).collect().item())
            together = min(_ROWS, max(1_000, rows * _PART // max(1, path.stat().st_size)))
            if rows == 0:
                raise DataError(f"{path}: the file is empty; expected one {what} per row")
            for first in range(0, rows, together):
                yield table.slice(first, together).collect()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}); write it again"
            ) from None
