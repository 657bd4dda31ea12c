"""Atomic writing of files."""

import errno
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from elasticnas.errors import ElasticNASError

__all__ = ["LOCK", "read_json", "read_text", "remove_temporaries", "write_bytes", "write_text"]

_SUFFIX = ".elasticnas-tmp"
LOCK = ".lock"  # lock file of a folder that only one process may use at a time


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically, by renaming a temporary file in the same folder.

    Raises:
        ElasticNASError: The disk is full or the folder cannot be written; an existing file is not changed.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically, see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def read_text(path: Path) -> str:
    """Read a UTF-8 text file.

    Raises:
        OSError: It cannot be read, or is no regular file: reading a pipe would wait for ever.
        ValueError: It is not UTF-8.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.read().decode()


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


def remove_temporaries(folder: Path) -> None:
    """Delete temporary files of killed processes in a folder and below, except in folders with their own lock.

    No other process may be writing to the folder.
    """
    for where, below, names in os.walk(folder):
        below[:] = [name for name in below if not Path(where, name, LOCK).exists()]
        for name in names:
            if name.startswith(".") and name.endswith(_SUFFIX):
                Path(where, name).unlink(missing_ok=True)
