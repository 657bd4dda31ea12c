"""Checkpoints: written atomically, and loaded only by the work that wrote them."""

import io
import pickle
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elasticnas.errors import CheckpointError, ElasticNASError, describe_error
from elasticnas.files import read_bytes, read_signed, write_bytes

__all__ = [
    "FIXED",
    "differences",
    "first_difference",
    "load_checkpoint",
    "load_part",
    "restoring",
    "save_checkpoint",
    "to_builtins",
]

_FORMAT = 2
_DIGEST = 32  # bytes of the SHA-256 at the beginning of the file
FIXED = frozenset({"space", "model", "metric", "strategy", "kind"})  # parts of an identity that must never differ


def save_checkpoint(path: Path, state: dict[str, Any], identity: dict[str, Any]) -> None:
    """Write a checkpoint.

    Args:
        path: The file.
        state: Tensors and plain data.
        identity: Plain data that must match to load it, by kind: ``{"work": {...}, "caller": {...}}``.
    """
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, "state": state, "identity": identity}, buffer)
    data = buffer.getvalue()
    # torch does not detect flipped bits
    write_bytes(path, sha256(data).digest() + data)


def load_part(path: Path) -> dict[str, Any] | None:
    """Return a finished part of long work, which :func:`elasticnas.files.write_signed` wrote; None if there is none.

    Raises:
        CheckpointError: The file is damaged.
        ElasticNASError: It cannot be read.
    """
    try:
        return read_signed(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged ({error}); delete it to make it again") from None
    except OSError as error:
        raise ElasticNASError(f"{path}: cannot be read, {error.strerror}; use another folder") from None


def load_checkpoint(
    path: Path, identity: dict[str, Any], allow: Collection[str] = ()
) -> "tuple[dict[str, Any], list[str]]":
    """Read a checkpoint.

    Args:
        path: The file.
        identity: The current identity, see :func:`save_checkpoint`.
        allow: Names in the identity that may differ: a dotted name, or its first or last part. Names in `FIXED` must
            not differ.

    Returns:
        The state, and the allowed differences as text.

    Raises:
        CheckpointError: The file is damaged, or was written by work with another identity.
    """
    try:
        data = read_bytes(path)
        if sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
            raise CheckpointError(f"{path}: damaged (its checksum is wrong); delete it to start again")
        content = torch.load(io.BytesIO(data[_DIGEST:]), map_location="cpu", weights_only=True)
        written, state, known = dict(content["identity"]), dict(content["state"]), content["format"] == _FORMAT
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: damaged ({reason[:120]}); delete it to start again") from None
    if not known:
        raise CheckpointError(
            f"{path}: written in format {content['format']!r}, this version reads {_FORMAT}; finish it with the "
            "version that wrote it, or delete it to start again"
        )
    changes = []
    for kind in dict.fromkeys([*written, *identity]):
        for name, line in differences(written.get(kind, {}), identity.get(kind, {})):
            fixed = kind == "work" and {name.partition(".")[0], name.rpartition(".")[2]} & FIXED
            if fixed or not _allowed(name, allow):
                raise CheckpointError(
                    f"{path}: belongs to another run, {line}; use another folder, or the settings it was started with"
                )
            changes.append(line)
    return state, changes


@contextmanager
def restoring(path: "Path | None") -> Iterator[None]:
    """Turn errors of restoring a state into a CheckpointError: a checksum does not say that the content fits.

    Args:
        path: The checkpoint, for the message.

    Raises:
        CheckpointError: The state lacks a part, or a part has another type or shape.
    """
    try:
        yield
    except ElasticNASError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path}: damaged ({describe_error(error)}); delete it to start again") from None


def _allowed(name: str, allow: Collection[str]) -> bool:
    return bool({name, name.partition(".")[0], name.rpartition(".")[2]} & set(allow))


def first_difference(before: Any, now: Any) -> str:
    """Return the first difference between two trees of plain data as text; empty if they are equal."""
    return next((line for _, line in differences(before, now)), "")


def differences(before: Any, now: Any, path: str = "") -> "Iterator[tuple[str, str]]":
    """Iterate over the differences between two trees of plain data: dotted name, and difference as text."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            below = f"{path}.{key}".lstrip(".")
            if key not in before or key not in now:
                yield below, f"{below} is {'new' if key in now else 'gone'}"
            else:
                yield from differences(before[key], now[key], below)
    elif before != now:
        yield path, f"{path} was {before!r}, is {now!r}"


def to_builtins(value: Any) -> Any:
    """Convert settings to plain data that identifies them: objects become their class name and attributes."""
    if isinstance(value, np.generic):  # some are subclasses of float, but checkpoints with them cannot be loaded
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [to_builtins(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): to_builtins(item) for name, item in value.items()}
    attributes = {name: to_builtins(item) for name, item in vars(value).items()} if hasattr(value, "__dict__") else {}
    return {"kind": getattr(value, "__qualname__", type(value).__qualname__), **attributes}
