"""Split: training parts, histories and targets of prepared data; and held-out users for the architecture steps."""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from easrec.data.dataset import Interactions
from easrec.data.partition import cold_targets, leave_one_out
from elasticnas.errors import DataError

__all__ = ["Sequences", "Split", "hold_out_users"]

Stage: TypeAlias = Literal["validation", "test"]
_STAGES: tuple[Stage, ...] = ("validation", "test")


class Sequences:
    """Sequences of different lengths in one array: sequence s is ``items[starts[s]:stops[s]]``.

    Attributes:
        times: Seconds of each item of the array, if the network uses them; otherwise None.
    """

    def __init__(
        self,
        items: NDArray[np.int32],
        starts: NDArray[np.int64],
        stops: NDArray[np.int64],
        times: NDArray[np.int64] | None = None,
    ) -> None:
        self.items, self.starts, self.stops, self.times = items, starts, stops, times

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self.items[self.starts[index] : self.stops[index]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Lengths of the sequences, ``(sequences,)``."""
        return self.stops - self.starts

    def rows_and_items(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the sequence number and the item of every position, two ``(total,)`` arrays in order."""
        lengths = self.lengths
        rows = np.repeat(np.arange(len(self)), lengths)
        before = np.cumsum(lengths) - lengths
        index = np.arange(len(rows)) + np.repeat(self.starts - before, lengths)
        return rows, self.items[index].astype(np.int64)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Sequences":
        """Return a subset of the sequences."""
        return Sequences(self.items, self.starts[chosen], self.stops[chosen], self.times)

    def counts(self, items: int) -> NDArray[np.int64]:
        """Count how often each item number 0..items occurs, ``(items + 1,)``."""
        inside = np.zeros(len(self.items) + 1, dtype=np.int64)
        np.add.at(inside, self.starts, 1)
        np.add.at(inside, self.stops, -1)
        return np.bincount(self.items[np.cumsum(inside[:-1]) > 0], minlength=items + 1)


class Split:
    """Training parts, histories and targets, by the partition of the data.

    A stage may evaluate a part of the users only: ``users``, ``history`` and ``targets`` are in the same order.

    Args:
        data: Prepared interactions.
        timed: Whether its sequences have the times of the data, as a network with a bias by time needs.

    Attributes:
        items: V.
        kind: Rule of the split, see :class:`easrec.data.Partition`.
        training: Training part of every user; empty for users who do not train.
        cold_users: By stage, users with an interaction in its window and none before it, who are not evaluated.
    """

    def __init__(self, data: Interactions, timed: bool = False) -> None:
        self.items = len(data.item_ids) - 1
        self._times = data.times if timed else None
        self._data = data
        self._partition = leave_one_out(data.offsets) if data.partition is None else data.partition
        self.kind = self._partition.kind
        self.training = Sequences(data.items, data.offsets[:-1], self._partition.training, self._times)
        self.cold_users: dict[Stage, int] = dict(zip(_STAGES, self._partition.cold_users, strict=True))

    def users(self, stage: Stage) -> NDArray[np.int64]:
        """Return the numbers of the users that a stage evaluates, ascending."""
        return np.flatnonzero(self._positions(stage) >= 0)

    def history(self, stage: Stage) -> Sequences:
        """Return all items before the target, for each evaluated user."""
        users = self.users(stage)
        return Sequences(self._data.items, self._data.offsets[users], self._positions(stage)[users], self._times)

    def targets(self, stage: Stage) -> NDArray[np.int32]:
        """Return the target of each evaluated user, item numbers."""
        return self._data.items[self._positions(stage)[self.users(stage)]]

    def complete(self) -> Sequences:
        """Return the whole sequences of all users, including targets."""
        return Sequences(self._data.items, self._data.offsets[:-1], self._data.offsets[1:], self._times)

    def cold_targets(self) -> dict[Stage, int]:
        """Count, by stage, the evaluated users whose target occurs in no training part."""
        counted = cold_targets(self._partition, self._data.items, self._data.offsets)
        return dict(zip(_STAGES, counted, strict=True))

    def _positions(self, stage: Stage) -> NDArray[np.int64]:
        return self._partition.validation if stage == "validation" else self._partition.test


def hold_out_users(lengths: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Draw users whose training parts are used by the architecture steps and not by the weight steps.

    Whole users are held out, because held-out positions would leak: each item is the input of the next position. Only
    users with at least two training items are drawn, at least one of them, and at least one is not.

    Args:
        lengths: ``(users,)`` number of items in each training part.
        fraction: Fraction of the users to hold out.
        seed: Random seed.

    Returns:
        ``(users,)`` bool, True for held-out users.

    Raises:
        DataError: Fewer than two users have two training items (an input and a target).
    """
    eligible = np.flatnonzero(lengths >= 2)
    if len(eligible) < 2:
        raise DataError(
            f"{len(eligible)} users have two training items or more (an input and a target; 4 interactions under "
            "leave-one-out), and a search needs at least 2 such users; give more data, or another split"
        )
    count = min(max(1, round(len(eligible) * fraction)), len(eligible) - 1)
    chosen = np.zeros(len(lengths), dtype=bool)
    chosen[np.random.default_rng([seed, 1]).permutation(eligible)[:count]] = True
    return chosen
