"""Permutation of units in place, which is undone exactly and never left half done."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from elasticnas.elastic.members import Member

__all__ = ["Orders", "interrupts_deferred", "permute", "permuted", "undo"]

_PART = 2**18  # elements that are copied at once

Orders = Sequence[tuple[Sequence[Member], Tensor]]
"""Groups of members, and the new order of the units of each group."""


def permute(orders: Orders) -> None:
    """Sort the units of every group of members into its new order, in place."""
    for members, order in orders:
        for member in members:
            _permute(member, order.to(member.tensor.device))


def undo(orders: Orders) -> None:
    """Sort the units back."""
    permute([(members, torch.argsort(order)) for members, order in reversed(orders)])


@contextmanager
def permuted(orders: Orders) -> Iterator[None]:
    """Permute the units until the end of the block."""
    permute(orders)
    try:
        yield
    finally:
        undo(orders)


def _permute(member: Member, order: Tensor) -> None:
    inner = member.values.unflatten(member.dim, member.factors)
    dim = member.dim + member.position
    others = [other for other in range(inner.ndim) if other != dim]
    along = max(others, key=lambda other: inner.shape[other], default=None)
    if along is None:
        inner.copy_(inner[order])
        return
    for part in inner.split(max(1, _PART * inner.shape[along] // inner.numel()), along):
        part.copy_(part.index_select(dim, order))


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], None]]:
    """Defer Ctrl-C to the end of the block, or to a call of the function that is yielded.

    A permutation that is interrupted halfway could not be undone. Does nothing in other threads, which Ctrl-C does not
    interrupt.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield lambda: None
        return
    pressed: list[Any] = []

    def raise_pending() -> None:
        if pressed:
            number, frame = pressed.pop()
            handler(number, frame)

    signal.signal(signal.SIGINT, lambda number, frame: pressed.append((number, frame)))
    try:
        yield raise_pending
    finally:
        signal.signal(signal.SIGINT, handler)
        raise_pending()
