"""Decisions that all processes of the group take together, so that none waits for the others for ever."""

import hashlib
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from elasticnas.errors import SearchError, describe_error
from elasticnas.parallel.group import device, rank, size, total

__all__ = ["on_any", "on_first", "require_same"]

T = TypeVar("T")
_WAY_OUT = "give every rank the same model, settings, seed and costs, and only batches of its own"


def on_any(flag: bool) -> bool:
    """Return whether a flag is set in any process."""
    return flag if size() == 1 else total([float(flag)])[0] > 0


def on_first(function: Callable[[], T]) -> T:
    """Call a function on rank 0, and return its result, or raise its error, on every rank."""
    if size() == 1:
        return function()
    box: list[Any] = [None, None]
    if rank() == 0:
        try:
            box[0] = function()
        except Exception as error:
            box[1] = _sendable(error)
    dist.broadcast_object_list(box, src=0)
    if box[1] is not None:
        raise box[1]
    return box[0]  # type: ignore[no-any-return]


def _sendable(error: Exception) -> Exception:
    """Return an error that pickle takes: itself, or its description."""
    try:
        pickle.dumps(error)
    except Exception:
        return SearchError(describe_error(error))
    return error


def require_same(what: str, value: "object | Callable[[], object]", way_out: str = _WAY_OUT) -> None:
    """Require that a value has the same digest on every rank.

    Args:
        what: Name of the value, with a plural verb after it in the message.
        value: The value, or a function that returns it, not called in one process; its repr is compared.
        way_out: What to do, for the message.

    Raises:
        SearchError: The ranks have different values; all of them raise it.
    """
    if size() == 1:
        return
    value = value() if callable(value) else value
    own = torch.tensor([int(hashlib.sha256(repr(value).encode()).hexdigest()[:8], 16)], device=device())
    found = [torch.empty_like(own) for _ in range(size())]
    dist.all_gather(found, own)
    digests = [f"{int(each):08x}" for each in found]
    if len(set(digests)) > 1:
        raise SearchError(f"{what} differ between the ranks (digests {', '.join(digests)}): {way_out}")
