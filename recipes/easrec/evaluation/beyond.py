"""Metrics beyond accuracy, of the lists that a recommender gives to all users."""

import numpy as np
from numpy.typing import NDArray

from elasticnas.errors import DataError

__all__ = ["beyond_accuracy", "gini", "user_counts"]


def beyond_accuracy(
    lists: NDArray[np.int64], users_of_item: NDArray[np.int64], interactions: NDArray[np.int64], users: int
) -> dict[str, float]:
    """Compute coverage, novelty, the Gini index and popularity of recommended lists.

    With the lists L_u of users u, V items, U training users, n(i) training interactions and m(i) training users of
    item i, and a mean over a list followed by a mean over users:

    * ``coverage`` = (number of items in at least one list) / V, in 0..1.
    * ``novelty`` = mean of -log2(max(m(i), 1) / U), mean inverse user frequency, in bits.
    * ``popularity`` = mean of n(i), the average recommendation popularity, in training interactions.
    * ``gini`` = Gini index of how often each of the V items is recommended: 0 if all equally often, near 1 if few are.

    Args:
        lists: ``(users, k)`` item numbers, right padded with 0 where a user has fewer; users without any are left out
            of the means.
        users_of_item: m, ``(V + 1,)``; entry 0 is padding.
        interactions: n, ``(V + 1,)``; entry 0 is padding.
        users: U.

    Raises:
        DataError: No list has an item, or an item is beyond V.

    Source: MeanInvUserFreq, AvgRecPopularity and CatalogCoverage of RecTools 0.19; Zhou et al., PNAS 107(10), 2010.
    """
    items = len(interactions) - 1
    if not lists.any() or lists.max() > items:
        raise DataError(f"lists of items 1..{items} are needed, at least one item (the largest is {lists.max()})")
    lists = lists[(lists > 0).any(1)]
    given = lists > 0
    novelty = -np.log2(np.maximum(users_of_item, 1) / users)
    times = np.bincount(lists[given], minlength=items + 1)[1:]
    return {
        "coverage": float((times > 0).sum() / items),
        "novelty": _mean(novelty[lists], given),
        "popularity": _mean(interactions[lists].astype(np.float64), given),
        "gini": gini(times),
    }


def gini(counts: NDArray[np.int64]) -> float:
    """Compute the Gini index: sum over i of (2 i - V - 1) x_i / (V sum x), with x sorted ascending and i from 1.

    Args:
        counts: ``(V,)`` nonnegative counts, not all 0.

    Example:
        >>> gini(np.array([1, 1, 1])), gini(np.array([0, 0, 3]))
        (0.0, 0.6666666666666666)
    """
    x, n = np.sort(counts), len(counts)
    return float(((2 * np.arange(1, n + 1) - n - 1) * x).sum() / (n * x.sum()))


def user_counts(rows: NDArray[np.int64], ids: NDArray[np.int64], items: int) -> NDArray[np.int64]:
    """Count the distinct users of each item 0..V, from the user and the item of every interaction."""
    distinct = np.unique(rows * (items + 1) + ids) % (items + 1)
    return np.bincount(distinct, minlength=items + 1)


def _mean(values: NDArray[np.float64], given: NDArray[np.bool_]) -> float:
    return float(((values * given).sum(1) / given.sum(1)).mean())
