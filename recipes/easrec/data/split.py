"""Leave-one-out split, and the users held out for the architecture steps."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from easrec.data.dataset import Interactions
from elasticnas.errors import DataError

__all__ = ["Sequences", "Split", "hold_out_users"]


class Sequences:
    """Sequences of different lengths in one array: sequence s is ``items[starts[s]:stops[s]]``."""

    def __init__(self, items: NDArray[np.int32], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> None:
        self.items, self.starts, self.stops = items, starts, stops

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self.items[self.starts[index] : self.stops[index]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``(sequences,)``."""
        return self.stops - self.starts

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Sequences":
        """Some of the sequences."""
        return Sequences(self.items, self.starts[chosen], self.stops[chosen])

    def counts(self, items: int) -> NDArray[np.int64]:
        """How often each id 0..items occurs in the sequences."""
        inside = np.zeros(len(self.items) + 1, dtype=np.int64)
        np.add.at(inside, self.starts, 1)
        np.add.at(inside, self.stops, -1)
        return np.bincount(self.items[np.cumsum(inside[:-1]) > 0], minlength=items + 1)


class Split:
    """Leave-one-out: each user's last item is the test target, the one before it the validation target."""

    def __init__(self, data: Interactions) -> None:
        self.items = len(data.item_ids) - 1
        self._data = data
        self.training = Sequences(data.items, data.offsets[:-1], data.offsets[1:] - 2)

    def history(self, stage: Literal["validation", "test"]) -> Sequences:
        """What is known before the target: the training part, for the test also the validation target."""
        behind = 2 if stage == "validation" else 1
        return Sequences(self._data.items, self._data.offsets[:-1], self._data.offsets[1:] - behind)

    def targets(self, stage: Literal["validation", "test"]) -> NDArray[np.int32]:
        """``(users,)`` item ids."""
        return self._data.items[self._data.offsets[1:] - (2 if stage == "validation" else 1)]

    def complete(self) -> Sequences:
        """Whole sequences, targets included: what a user has ever interacted with."""
        return Sequences(self._data.items, self._data.offsets[:-1], self._data.offsets[1:])


def hold_out_users(lengths: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.bool_]:
    """``(users,)``, True for users whose training part the architecture steps see and the weight steps do not.

    Users, not positions: an item is the next position's input, so held-out positions would leak. Only users with
    something to train on are drawn, at least one, and at least one is left.

    Args:
        lengths: ``(users,)`` items of each training part.
        fraction: Of the users to hold out.
        seed: The same seed holds out the same users.

    Raises:
        DataError: Fewer than two users have two training items: an input and a target.
    """
    able = np.flatnonzero(lengths >= 2)
    if len(able) < 2:
        raise DataError(
            f"{len(able)} users have 4 interactions or more (two to train on, one to validate, one to test); "
            "a search needs at least 2 of them"
        )
    count = min(max(1, round(len(able) * fraction)), len(able) - 1)
    chosen = np.zeros(len(lengths), dtype=bool)
    chosen[np.random.default_rng([seed, 1]).permutation(able)[:count]] = True
    return chosen
