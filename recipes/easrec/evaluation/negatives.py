"""Negatives for pop100 and uni100: distinct items drawn by popularity or uniformly, without the items of the user."""

import numpy as np
from numpy.typing import NDArray

from easrec.data import Sequences
from elasticnas.errors import DataError

__all__ = ["draw_negatives", "draw_uniform_negatives"]

_CHUNK = 4_000_000  # keys in memory at a time, instead of users x items
_UNPOPULAR = 1e3  # larger than any exponential draw (below 50 in float64)


def draw_negatives(counts: NDArray[np.int64], own: Sequences, number: int, seed: int) -> NDArray[np.int64]:
    """Draw distinct negatives for every user, without replacement, with probability proportional to popularity.

    Each item gets an exponential arrival time with its count as the rate. The first ``number`` arrivals have exactly
    the distribution of successive draws, each proportional to the counts of the remaining items (the Gumbel-top-k
    trick without logarithms). Items without a training interaction are drawn, uniformly, only after all others. A user
    with fewer candidates than ``number`` gets all of them. Columns are in the order of drawing, so the first m columns
    are a draw of m.

    Args:
        counts: ``(V + 1,)`` training interactions of every item; entry 0 is padding.
        own: All items of each user, including the validation and test targets.
        number: Negatives per user.
        seed: Random seed.

    Returns:
        ``(users, number)`` int64 item numbers, right padded with 0.

    Raises:
        DataError: ``counts`` holds no item or a negative count, ``number`` is below 1, or an id of ``own`` is above V.

    Source: Efraimidis and Spirakis, Information Processing Letters 97(5), 2006; Kool et al., arXiv:1903.06059.
    """
    items = len(counts) - 1
    if items < 1 or number < 1:
        raise DataError(f"negatives need at least one item and a number from 1, got {items} items, number {number}")
    if counts.min() < 0:
        raise DataError(f"a count of interactions cannot be negative, got {counts.min()} for item {counts.argmin()}")
    rng = np.random.default_rng([seed, 3])
    popular = counts > 0
    scale = 1 / np.where(popular, counts, 1)
    shift = np.where(popular, 0.0, _UNPOPULAR)
    shift[0] = np.inf
    kept = min(number, items)
    drawn = np.zeros((len(own), number), dtype=np.int64)
    chunk = max(1, _CHUNK // len(counts))
    for first in range(0, len(own), chunk):
        users = np.arange(first, min(first + chunk, len(own)))
        rows, ids = own.take(users).rows_and_items()
        if len(ids) and ids.max() > items:
            raise DataError(f"item {ids.max()} of the users' own items is beyond the {items} items that have counts")
        # float64: in float32 about one draw in 8 million is exactly 0, and would win whatever its popularity
        keys = rng.standard_exponential((len(users), len(counts)))
        keys *= scale
        keys += shift
        keys[rows, ids] = np.inf
        best = np.argpartition(keys, kept - 1, axis=1)[:, :kept]
        times = np.take_along_axis(keys, best, axis=1)
        order = np.argsort(times, axis=1, kind="stable")
        best, times = np.take_along_axis(best, order, axis=1), np.take_along_axis(times, order, axis=1)
        drawn[users, :kept] = np.where(np.isfinite(times), best, 0)
    return drawn


def draw_uniform_negatives(items: int, own: Sequences, number: int, seed: int) -> NDArray[np.int64]:
    """Draw distinct negatives for every user, uniformly among the items that are not the user's own.

    Args:
        items: V.
        own: All items of each user, including the validation and test targets.
        number: Negatives per user.
        seed: Random seed.

    Returns:
        ``(users, number)`` int64 item numbers, right padded with 0, as from :func:`draw_negatives`.

    Raises:
        DataError: There is no item, ``number`` is below 1, or an id of ``own`` is above V.
    """
    return draw_negatives(np.ones(items + 1, dtype=np.int64), own, number, seed)
