"""Blocks of text files: decompressed, checked to be UTF-8, and cut at the ends of rows."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from elasticnas.errors import DataError

__all__ = ["UTF_8", "UTF_8_OR_LATIN_1", "beginning", "blocks", "open_file", "plain_name"]

UTF_8 = "utf-8"
UTF_8_OR_LATIN_1 = "utf-8 or latin-1"
"""Encoding of MovieLens' older files: Latin-1 if the first text that is not ASCII is not UTF-8."""

_BLOCK = 2**26  # bytes
_LONGEST = 2**29  # bytes of one row
_COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def plain_name(path: Path) -> str:
    """Return the name of a file in lower case, without the ending of a compressed one."""
    return path.name.lower().removesuffix(path.suffix.lower() if path.suffix.lower() in _COMPRESSED else "")


def open_file(path: Path) -> IO[bytes]:
    """Open a file, decompressed.

    Raises:
        DataError: It does not exist, or is no regular file.
        OSError: It cannot be read.
    """
    if path.is_dir():
        raise DataError(f"{path}: a folder; give the files inside it, for example by {path}/*.csv")
    if not path.exists():
        raise DataError(f"{path}: no such file; check the path")
    if not path.is_file():
        raise DataError(f"{path}: not a regular file; write its content to a file first")
    opened: IO[bytes] = _COMPRESSED.get(path.suffix.lower(), open)(path, "rb")  # type: ignore[operator]
    return opened


def beginning(path: Path, encoding: str, size: int) -> bytes:
    """Return the first bytes of a file, as UTF-8 if it has another encoding; empty if they cannot be read."""
    with open_file(path) as stream:
        try:
            return next(_read(stream, encoding, size), b"")
        except (*_DAMAGED, OSError, UnicodeDecodeError):
            return b""  # its reader says what is wrong


def blocks(path: Path, what: str = "interaction", encoding: str = UTF_8, quoted: bool = False) -> Iterator[bytes]:
    """Yield a text file as UTF-8 without a byte order mark, in blocks of whole rows.

    Args:
        path: The file; ``.gz``, ``.bz2`` and ``.xz`` are decompressed.
        what: What each line contains, for errors.
        encoding: Encoding of the file.
        quoted: Whether fields in double quotes may contain line breaks.

    Raises:
        DataError: The file is empty, damaged, has another encoding, or a row is longer than 512 MiB.
    """
    lines, empty, found = 0, True, "" if encoding == UTF_8_OR_LATIN_1 else UTF_8
    for data in _rows(path, encoding, quoted):
        text = data.removeprefix(b"\xef\xbb\xbf") if empty else data
        if not text.isascii():
            found = found or _encoding(text)
            if found == "latin-1":
                text = text.decode(found).encode()
            else:
                _require_utf8(path, text, lines)
        empty = empty and not text.strip()
        lines += data.count(b"\n")
        yield text
    if empty:
        raise DataError(f"{path}: the file is empty; expected one {what} per line")


def _rows(path: Path, encoding: str, quoted: bool) -> Iterator[bytes]:
    rest = b""
    try:
        with open_file(path) as stream:
            for read in _read(stream, encoding, _BLOCK):
                data = rest + read
                end = _end_of_row(data, quoted)
                if end == 0 and len(data) > _LONGEST:
                    raise DataError(
                        f"{path}: a row is longer than {_LONGEST // 2**20} MiB; close open quotes, or give a text file"
                    )
                rest = data[end:]
                if end:
                    yield data[:end]
    except _DAMAGED as error:
        kind = {".gz": "gzip", ".bz2": "bzip2"}.get(path.suffix.lower(), "xz")
        raise DataError(f"{path}: the {kind} file is truncated or damaged ({error}); download it again") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not {encoding} ({error.reason}); give the right --encoding") from None
    if rest:
        yield rest


def _read(stream: IO[bytes], encoding: str, size: int) -> Iterator[bytes]:
    """Yield the content of a stream, in UTF-8 if another encoding is given."""
    if encoding in (UTF_8, UTF_8_OR_LATIN_1):
        while read := stream.read(size):
            yield read
        return
    text = io.TextIOWrapper(stream, encoding, newline="")
    while some := text.read(size):
        yield some.encode()


def _end_of_row(data: bytes, quoted: bool) -> int:
    """Return the position after the last row that ends within the data; 0 if none does."""
    end = data.rfind(b"\n") + 1
    if not quoted:
        return end
    quotes = data.count(b'"', 0, end)
    while end and quotes % 2:  # inside a quoted field
        earlier = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(b'"', earlier, end)
        end = earlier
    return end


def _encoding(data: bytes) -> str:
    """Return the encoding of text that is UTF-8 or Latin-1, by its first part that is not ASCII."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return UTF_8  # UTF-16: to be refused
    try:
        data.decode()
        return UTF_8
    except UnicodeDecodeError:
        return "latin-1"


def _require_utf8(path: Path, data: bytes, lines: int) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # the line, not the row: bytes that are not text cannot be parsed into rows
        line = lines + data.count(b"\n", 0, error.start) + 1
        wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        raise DataError(
            f"{path}, line {line}: not UTF-8 (byte 0x{data[error.start]:02x}); "
            f"give its encoding, for example: --encoding {'utf-16' if wide else 'latin1'}"
        ) from None
