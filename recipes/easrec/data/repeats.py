"""Repeat targets: items that the user already has in the history."""

import numpy as np
from numpy.typing import NDArray

from easrec.data.split import Sequences

__all__ = ["repeat_targets"]

_TOGETHER = 2**14  # users, to bound memory


def repeat_targets(histories: Sequences, targets: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.bool_]:
    """Find the users whose target occurs in their history.

    Args:
        histories: All items before the target, one sequence per user.
        targets: ``(users,)`` item numbers.

    Returns:
        ``(users,)``, True for a repeat target; its mean is the share of repeat targets.

    Example:
        >>> items = np.array([1, 2, 3], dtype=np.int32)
        >>> histories = Sequences(items, np.array([0, 2]), np.array([2, 3]))  # [1, 2] and [3]
        >>> repeat_targets(histories, np.array([1, 2])).tolist()
        [True, False]
    """
    found = np.zeros(len(histories), dtype=bool)
    for first in range(0, len(histories), _TOGETHER):
        part = slice(first, first + _TOGETHER)
        rows, ids = Sequences(histories.items, histories.starts[part], histories.stops[part]).rows_and_items()
        found[first + rows[ids == targets[part][rows]]] = True
    return found
