"""Groups of users by history length, and of targets by popularity, for metrics by group."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["history_groups", "popularity_groups"]

_EDGES = (5, 20, 50)


def history_groups(lengths: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Return the users of each group of history lengths (1-5, 6-20, 21-50, above 50) that is not empty."""
    number = np.searchsorted(_EDGES, lengths, side="left")
    names = ("1-5", "6-20", "21-50", "51+")
    return {f"history {name}": number == n for n, name in enumerate(names) if (number == n).any()}


def popularity_groups(targets: NDArray[np.int64], counts: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Return the users of each tercile of target popularity that is not empty.

    Items are sorted by training interactions; the most popular that together have one third of the interactions are
    ``head``, the next third ``middle``, the others ``tail``. An item on a border belongs to the more popular group.

    Args:
        targets: ``(users,)`` item numbers.
        counts: ``(V + 1,)`` training interactions; entry 0 is padding.
    """
    order = np.argsort(-counts[1:], kind="stable") + 1
    before = np.cumsum(counts[order]) - counts[order]
    third = np.zeros(len(counts), dtype=np.int64)
    third[order] = np.minimum(3 * before // max(1, int(counts[1:].sum())), 2)
    names = ("head", "middle", "tail")
    return {f"{name} items": third[targets] == n for n, name in enumerate(names) if (third[targets] == n).any()}
