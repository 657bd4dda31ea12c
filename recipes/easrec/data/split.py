"""Leave-one-out split, and held-out users for the architecture steps."""

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
        """Lengths of the sequences, ``(sequences,)``."""
        return self.stops - self.starts

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Sequences":
        """Return a subset of the sequences."""
        return Sequences(self.items, self.starts[chosen], self.stops[chosen])

    def counts(self, items: int) -> NDArray[np.int64]:
        """Count how often each item number 0..items occurs, ``(items + 1,)``."""
        inside = np.zeros(len(self.items) + 1, dtype=np.int64)
        np.add.at(inside, self.starts, 1)
        np.add.at(inside, self.stops, -1)
        return np.bincount(self.items[np.cumsum(inside[:-1]) > 0], minlength=items + 1)


class Split:
    """Leave-one-out split: each user's last item is the test target, the one before it the validation target."""

    def __init__(self, data: Interactions) -> None:
        self.items = len(data.item_ids) - 1
        self._data = data
        self.training = Sequences(data.items, data.offsets[:-1], data.offsets[1:] - 2)

    def history(self, stage: Literal["validation", "test"]) -> Sequences:
        """Return the items before the target: the training part, for ``test`` plus the validation target."""
        behind = 2 if stage == "validation" else 1
        return Sequences(self._data.items, self._data.offsets[:-1], self._data.offsets[1:] - behind)

    def targets(self, stage: Literal["validation", "test"]) -> NDArray[np.int32]:
        """Return the target of each user, ``(users,)`` item numbers."""
        return self._data.items[self._data.offsets[1:] - (2 if stage == "validation" else 1)]

    def complete(self) -> Sequences:
        """Return the whole sequences, including targets."""
        return Sequences(self._data.items, self._data.offsets[:-1], self._data.offsets[1:])


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
            f"{len(eligible)} users have 4 interactions or more (two to train on, one to validate, one to test); "
            "a search needs at least 2 of them"
        )
    count = min(max(1, round(len(eligible) * fraction)), len(eligible) - 1)
    chosen = np.zeros(len(lengths), dtype=bool)
    chosen[np.random.default_rng([seed, 1]).permutation(eligible)[:count]] = True
    return chosen
