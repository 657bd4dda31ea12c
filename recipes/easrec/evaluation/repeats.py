"""Repeat targets: items that the user already has in the history."""

import numpy as np
from numpy.typing import NDArray

from easrec.data import Sequences
from easrec.evaluation.protocols import rows_and_items

__all__ = ["repeat_targets"]


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
    rows, ids = rows_and_items(histories)
    found[rows[ids == targets[rows]]] = True
    return found
