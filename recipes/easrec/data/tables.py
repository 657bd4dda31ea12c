"""Tables as they stand in files, delimited text and Parquet: all columns as text, and the row of whatever is wrong."""

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
        raise DataError(f"{path}: the gzip file is truncated or damaged ({error}); get it again") from None


def text_of(path: Path, encoding: str = "utf-8", what: str = "interaction") -> bytes:
    """A text file, unpacked, as UTF-8 without a byte order mark.

    Args:
        path: The file; ``.gz`` is unpacked.
        encoding: Of the file.
        what: Of which there is one in each line, for errors.

    Raises:
        DataError: The file is empty, damaged, or not in that encoding.
    """
    data = _bytes_of(path)
    if not data.strip():
        raise DataError(f"{path}: the file is empty; expected one {what} per line")
    if encoding == "utf-8":
        try:
            data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            # a line, not a row: what is no text cannot be parsed, and quoted fields may hold line breaks
            line = data.count(b"\n", 0, error.start) + 1
            raise DataError(
                f"{path}, line {line}: not UTF-8 (byte 0x{data[error.start]:02x}); "
                "re-encode it, for example: iconv -f latin1 -t utf-8"
            ) from None
        return data.removeprefix(b"\xef\xbb\xbf")
    return data.decode(encoding).encode()


def delimited(path: Path, data: bytes, separator: str, header: bool = True, what: str = "interaction") -> pl.DataFrame:
    """The columns of a delimited text, as text.

    Args:
        path: Named in errors.
        data: What :func:`text_of` gives.
        separator: Between the fields; only with commas may fields be quoted.
        header: Whether the first row names the columns.
        what: Of which there is one in each row, for errors.

    Raises:
        DataError: A row has too many or too few fields; the message names it.
    """
    # only commas need quotes: a quote in a tab separated text is a character like any other
    quote = '"' if separator == "," else None
    try:
        frame = pl.read_csv(data, separator=separator, has_header=header, infer_schema=False, quote_char=quote)
    except pl.exceptions.PolarsError as error:
        row = _ragged_row(data, separator, quote)
        where = f"{path}, row {row}" if row else str(path)
        reason = "its number of fields differs from the first row's" if row else str(error).splitlines()[0]
        raise DataError(f"{where}: {reason}; one {what} per line, {separator!r} between fields") from None
    # polars fills up rows that are too short; an empty last field looks the same, so only then is the file read again
    filled = frame[:, -1].is_null() & ~frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if filled.any() and (row := _short_row(data, separator, quote, frame.width, filled.to_numpy(), 2 if header else 1)):
        raise DataError(
            f"{path}, row {row}: fewer fields than the {frame.width} columns; one {what} per line, "
            f"{separator!r} between fields, empty ones too"
        )
    return frame


def _rows(data: bytes, separator: str, quote: str | None) -> Iterator[tuple[int, int]]:
    """Number and count of fields of every row that is not blank; rows count from 1, the header included.

    A row is what is parsed: with line breaks in quoted fields it takes several lines.
    """
    text = io.StringIO(data.decode("utf-8", "replace"), newline="")
    rows = csv.reader(text, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE)
    return ((number, len(row)) for number, row in enumerate(rows, 1) if row)


def _ragged_row(data: bytes, separator: str, quote: str | None) -> int | None:
    """The first row with another number of fields than the first row."""
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
    """The first row with fewer fields than ``width`` among those filled up; ``filled[0]`` is row ``first``."""
    try:
        for number, fields in _rows(data, separator, quote):
            # looked up too, should the two parsers differ about quotes
            if fields < width and first <= number < first + len(filled) and filled[number - first]:
                return number
    except csv.Error:
        return None
    return None


def parquet(path: Path, what: str = "interaction") -> pl.DataFrame:
    """The columns of a Parquet file; ``.gz`` is unpacked.

    Args:
        path: The file.
        what: Of which there is one in each row, for errors.

    Raises:
        DataError: The file is no Parquet file, or has no rows.
    """
    try:
        frame = pl.read_parquet(io.BytesIO(_bytes_of(path)))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}); write it again") from None
    if frame.is_empty():
        raise DataError(f"{path}: the file is empty; expected one {what} per row")
    return frame
