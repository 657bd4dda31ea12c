"""Atomic writing of files, and reading of regular files."""

import errno
import json
import os
import stat
import tempfile
import time
from contextlib import suppress
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import Any

from elasticnas.errors import ElasticNASError

__all__ = [
    "CHECKSUM",
    "LOCK",
    "read_bytes",
    "read_json",
    "read_signed",
    "read_text",
    "remove_temporaries",
    "write_bytes",
    "write_signed",
    "write_text",
]

_SUFFIX = ".elasticnas-tmp"
_ABANDONED = 3600  # seconds without a write after which a temporary file has lost its process
CHECKSUM = "checksum"  # entry of signed files
LOCK = ".lock"  # lock file of a folder that only one process may use at a time


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically, by renaming a temporary file in the same folder.

    Temporary files that earlier killed writes of this file left are deleted after an hour.

    Raises:
        ElasticNASError: The disk is full or the folder cannot be written; an existing file is not changed.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full"
        elif error.errno in (errno.EEXIST, errno.ENOTDIR):
            reason = "a file is where a folder should be"
        raise ElasticNASError(f"{path}: cannot be written, {reason}; free space or choose another folder") from None
    finally:
        if temporary is not None and temporary.exists():
            temporary.unlink()


def _remove_abandoned(path: Path) -> None:
    for left in path.parent.glob(f".{escape(path.name)}.*{_SUFFIX}"):
        with suppress(FileNotFoundError):  # another process deletes it, too
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically, see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        OSError: It cannot be read, or is no regular file: reading a pipe would wait for ever, and a device has no end.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.read()


def read_text(path: Path) -> str:
    """Read a UTF-8 text file.

    Raises:
        OSError: See :func:`read_bytes`.
        ValueError: It is not UTF-8.
    """
    return read_bytes(path).decode()


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OSError: See :func:`read_text`.
        ValueError: It is not UTF-8, not JSON, or nested too deeply.
    """
    try:
        return json.loads(read_text(path))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write_signed(path: Path, content: dict[str, Any]) -> None:
    """Write an object as JSON with a checksum of its entries, see :func:`write_bytes`."""
    plain = json.loads(json.dumps(content))  # keys as text, as they are read
    write_text(path, json.dumps({**plain, CHECKSUM: _checksum(plain)}, indent=2) + "\n")


def read_signed(path: Path) -> dict[str, Any]:
    """Read an object that :func:`write_signed` wrote, or one without a checksum, from an older version.

    Raises:
        OSError: See :func:`read_bytes`.
        ValueError: It is not a JSON object, or its checksum is wrong.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError("no object")
    written = content.pop(CHECKSUM, None)
    if written not in (None, _checksum(content)):
        raise ValueError("its checksum is wrong")
    return content


def _checksum(content: dict[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def remove_temporaries(folder: Path) -> None:
    """Delete temporary files of killed processes in a folder and below, except in folders with their own lock.

    No other process may be writing to the folder.
    """
    for where, below, names in os.walk(folder):
        below[:] = [name for name in below if not Path(where, name, LOCK).exists()]
        for name in names:
            if name.startswith(".") and name.endswith(_SUFFIX):
                Path(where, name).unlink(missing_ok=True)
