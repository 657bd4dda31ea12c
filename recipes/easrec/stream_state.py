"""Stream: what a network remembers of its users, from which it computes their next events."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from easrec.layer import State

__all__ = ["Branch", "Stream", "like", "tensors_of"]


@dataclass
class Branch:
    """State of one stack of layers: of the items, or of their features.

    Attributes:
        layers: What the attention of every layer remembers.
        total: ``(B, 1, hidden)``, sum of the embedded sequence, if gates use its mean; otherwise None.
    """

    layers: list[State]
    total: Tensor | None


@dataclass
class Stream:
    """State of B users.

    Attributes:
        branches: The state of every stack of layers: sums (LinRec), or keys and values of up to N events.
        seen: ``(B,)`` int64, number of events in the state, 1..N.
        recent: ``(B, keep)`` int32, the last items, the newest at the end, left padded with 0.
        times: ``(B, keep)`` int64, their times, if the network uses them.
    """

    branches: list[Branch]
    seen: Tensor
    recent: Tensor
    times: Tensor | None = None

    @property
    def bytes_per_user(self) -> int:
        """Size of the state in bytes per user; it does not grow with the history (with LinRec, not with N either)."""
        tensors = [self.seen, self.recent, *([] if self.times is None else [self.times]), *tensors_of(self.branches)]
        return sum(each.element_size() * each.numel() for each in tensors) // len(self.seen)


def tensors_of(branches: Sequence[Branch]) -> list[Tensor]:
    """Return the tensors of all branches, in a fixed order."""
    return [
        tensor
        for branch in branches
        for tensor in (
            *(part for state in branch.layers for part in state),
            *(() if branch.total is None else (branch.total,)),
        )
    ]


def like(branches: Sequence[Branch], tensors: Iterable[Tensor]) -> list[Branch]:
    """Return branches of the same structure with other tensors, in the order of :func:`tensors_of`."""
    left = iter(tensors)
    return [
        Branch(
            [type(state)(*(next(left) for _ in state)) if state else state for state in branch.layers],
            None if branch.total is None else next(left),
        )
        for branch in branches
    ]
