"""Checkpoints of long work: written whole or not at all, refused where they belong to another run."""

import io
import pickle
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from elasticnas.errors import CheckpointError
from elasticnas.files import write_bytes

__all__ = ["first_difference", "load_checkpoint", "plain", "save_checkpoint"]

_FORMAT = 1
_DIGEST = 32  # bytes of SHA-256, in front


def save_checkpoint(
    path: Path, state: dict[str, Any], identity: dict[str, Any], callers: "Mapping[str, Any] | None" = None
) -> None:
    """Write a checkpoint.

    Args:
        path: The file.
        state: Tensors and plain data.
        identity: What a run that takes it up must agree with, plain data.
        callers: Likewise, of the caller; a key of both counts in both.
    """
    content = {"format": _FORMAT, "state": state} | _identities(identity, callers)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    # torch reads a file with flipped bits without a word
    write_bytes(path, sha256(data).digest() + data)


def load_checkpoint(path: Path, identity: dict[str, Any], callers: "Mapping[str, Any] | None" = None) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        CheckpointError: The file is damaged, or was written by a run with another identity.
    """
    try:
        data = path.read_bytes()
        if sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
            raise CheckpointError(f"{path}: damaged (its checksum is wrong); delete it to start anew")
        content = torch.load(io.BytesIO(data[_DIGEST:]), map_location="cpu", weights_only=True)
        written, state = content["identity"], content["state"]
        covered, known = content.get("covered"), content["format"] == _FORMAT
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: damaged ({reason[:120]}); delete it to start anew") from None
    if not known:
        raise CheckpointError(f"{path}: written in format {content['format']!r}, this version reads {_FORMAT}")
    now = _identities(identity, callers)
    difference = first_difference(written, now["identity"])
    if covered is not None:  # earlier versions did not write it
        difference = difference or first_difference(covered, now["covered"])
    if difference:
        raise CheckpointError(
            f"{path}: belongs to another run, {difference}; use another folder, or the settings it was started with"
        )
    assert isinstance(state, dict)
    return state


def _identities(own: dict[str, Any], callers: "Mapping[str, Any] | None") -> dict[str, Any]:
    """The identity, in which the caller's values stand, and what they cover of our own."""
    callers = dict(callers or {})
    return {"identity": own | callers, "covered": {key: value for key, value in own.items() if key in callers}}


def first_difference(before: Any, now: Any, path: str = "") -> str:
    """Where two trees of plain data first differ, in words; empty where they agree."""
    if before == now:
        return ""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            below = f"{path}.{key}".lstrip(".")
            if key not in before or key not in now:
                return f"{below} is {'new' if key in now else 'gone'}"
            if before[key] != now[key]:
                return first_difference(before[key], now[key], below)
    return f"{path} was {before!r}, is {now!r}"


def plain(value: Any) -> Any:
    """Plain data that tells settings apart: numbers and texts as they are, objects by class and attributes."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    attributes = {name: plain(item) for name, item in vars(value).items()} if hasattr(value, "__dict__") else {}
    return {"kind": getattr(value, "__qualname__", type(value).__qualname__), **attributes}
