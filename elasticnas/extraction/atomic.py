"""Files that are there whole or not at all."""

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from elasticnas.errors import ElasticNASError

__all__ = ["write_atomically", "write_text"]


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place.

    Raises:
        ElasticNASError: The disk is full or the folder cannot be written; what was there before stays.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or str(error))
        raise ElasticNASError(f"{path}: cannot be written, {reason}; free space or choose another folder") from None
    except RuntimeError as error:  # torch and safetensors wrap a failed write
        if "write" not in str(error).lower() and "space" not in str(error).lower():
            raise
        raise ElasticNASError(f"{path}: cannot be written ({str(error).splitlines()[0]}); is the disk full?") from None
    finally:
        if temporary is not None and temporary.exists():
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, UTF-8."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
