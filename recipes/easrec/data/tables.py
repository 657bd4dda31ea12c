"""Readers of delimited text, with all columns as text, and of Parquet; errors give the row."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from elasticnas.errors import DataError

__all__ = ["delimited", "parquet", "text_of"]


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix.lower() == ".gz" else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is truncated or damaged ({error}); download it again") from None


def text_of(path: Path, what: str = "interaction", latin: bool = False) -> bytes:
    """Read a text file as UTF-8 without a byte order mark.

    Args:
        path: The file; ``.gz`` is decompressed.
        what: What each line contains, for errors.
        latin: Whether text that is not UTF-8 is Latin-1, as in MovieLens' older files.

    Raises:
        DataError: The file is empty, damaged, or has another encoding.
    """
    data = _bytes_of(path)
    if not data.strip():
        raise DataError(f"{path}: the file is empty; expected one {what} per line")
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if latin and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("latin-1").encode()
        # the line, not the row: bytes that are not text cannot be parsed into rows
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: not UTF-8 (byte 0x{data[error.start]:02x}); "
            "re-encode it, for example: iconv -f latin1 -t utf-8"
        ) from None
    return data.removeprefix(b"\xef\xbb\xbf")


def delimited(path: Path, data: bytes, separator: str, header: bool = True, what: str = "interaction") -> pl.DataFrame:
    """Parse delimited text; all columns are text.

    Args:
        path: The file, for errors.
        data: Its content, from :func:`text_of`.
        separator: Separator between fields; fields may be quoted only with commas.
        header: Whether the first row contains the column names.
        what: What each row contains, for errors.

    Raises:
        DataError: A row has too many or too few fields.
    """
    # in tab-separated text a quote is an ordinary character
    quote = '"' if separator == "," else None
    try:
        frame = pl.read_csv(data, separator=separator, has_header=header, infer_schema=False, quote_char=quote)
    except pl.exceptions.PolarsError as error:
        row = _ragged_row(data, separator, quote)
        where = f"{path}, row {row}" if row else str(path)
        reason = "its number of fields differs from the first row's" if row else str(error).splitlines()[0]
        raise DataError(f"{where}: {reason}; one {what} per line, {separator!r} between fields") from None
    # polars pads short rows with null, like an empty last field: then look for a short row with the csv module
    filled = frame[:, -1].is_null() & ~frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if filled.any() and (row := _short_row(data, separator, quote, frame.width, filled.to_numpy(), 2 if header else 1)):
        raise DataError(
            f"{path}, row {row}: fewer fields than the {frame.width} columns; one {what} per line, "
            f"{separator!r} between fields, empty ones too"
        )
    frame.columns = _names(path, data, separator, quote, frame.width) if header else _positions(frame.width)
    return frame


def _positions(width: int) -> list[str]:
    return [str(position) for position in range(1, width + 1)]


def _names(path: Path, data: bytes, separator: str, quote: str | None, width: int) -> list[str]:
    """Return the names in the header without blanks around them; the parser would rename a second column of a name."""
    text = io.StringIO(data[:1_000_000].decode("utf-8", "replace"), newline="")
    rows = csv.reader(text, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE)
    names = [name.strip() for name in next((row for row in rows if row), [])]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path}: the column {twice[0]!r} occurs twice in the header; rename one")
    if len(names) != width:
        raise DataError(f"{path}: the header names {len(names)} columns, the rows have {width}; correct the header")
    return names


def _rows(data: bytes, separator: str, quote: str | None) -> Iterator[tuple[int, int]]:
    """Return number and field count of every row that is not blank; rows count from 1, including the header.

    A row may span several lines, if quoted fields contain line breaks.
    """
    text = io.StringIO(data.decode("utf-8", "replace"), newline="")
    rows = csv.reader(text, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE)
    return ((number, len(row)) for number, row in enumerate(rows, 1) if row)


def _ragged_row(data: bytes, separator: str, quote: str | None) -> int | None:
    """Return the number of the first row whose field count differs from that of row 1."""
    width, number = None, 0
    try:
        for number, fields in _rows(data, separator, quote):
            width = fields if width is None else width
            if fields != width:
                return number
    except csv.Error:
        return number + 1
    return None


def _short_row(
    data: bytes, separator: str, quote: str | None, width: int, filled: NDArray[np.bool_], first: int
) -> int | None:
    """Return the first row with fewer than ``width`` fields among the padded ones; ``filled[0]`` is row ``first``."""
    try:
        for number, fields in _rows(data, separator, quote):
            # check both, in case the two parsers treat quotes differently
            if fields < width and first <= number < first + len(filled) and filled[number - first]:
                return number
    except csv.Error:
        return None
    return None


def parquet(path: Path, what: str = "interaction") -> pl.DataFrame:
    """Read a Parquet file.

    Args:
        path: The file; ``.gz`` is decompressed.
        what: What each row contains, for errors.

    Raises:
        DataError: The file is not a Parquet file, or has no rows.
    """
    try:
        frame = pl.read_parquet(io.BytesIO(_bytes_of(path)))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}); write it again") from None
    if frame.is_empty():
        raise DataError(f"{path}: the file is empty; expected one {what} per row")
    return frame
