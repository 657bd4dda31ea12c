"""Recall, MRR and NDCG at k from the rank of the one relevant item."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elasticnas.errors import DataError, SearchError

__all__ = ["METRICS", "metrics_at", "per_user", "standard_errors_at"]

METRICS = ("recall", "mrr", "ndcg")


def per_user(ranks: NDArray[np.int64], metric: str, k: int) -> NDArray[np.float64]:
    """Compute a metric for every user.

    With one relevant item at rank r (from 1): Recall@k = [r <= k], MRR@k = [r <= k] / r,
    NDCG@k = [r <= k] / log2(r + 1), since the ideal DCG is 1.

    Args:
        ranks: ``(users,)``, from 1.
        metric: ``"recall"``, ``"mrr"`` or ``"ndcg"``.
        k: Cut-off, from 1.

    Returns:
        ``(users,)``, each in 0..1.

    Raises:
        DataError: A rank is below 1.
        SearchError: The metric is unknown, or k is below 1.

    Source: Järvelin and Kekäläinen, ACM TOIS 20(4), 2002, for DCG; the three metrics of EASRec, arXiv:2402.00390v1,
    Section III.

    Example:
        >>> per_user(np.array([1, 3, 11]), "ndcg", 10).round(3).tolist()
        [1.0, 0.5, 0.0]
    """
    if k < 1:
        raise SearchError(f"the cut-off k must be 1 or more, got {k}")
    if metric not in METRICS:
        raise SearchError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
    rank = np.asarray(ranks, dtype=np.float64)
    if rank.size and rank.min() < 1:
        raise DataError(f"ranks count from 1, got {int(rank.min())} for user number {int(rank.argmin())}")
    gain = {"recall": np.ones_like(rank), "mrr": 1 / rank, "ndcg": 1 / np.log2(rank + 1)}[metric]
    return np.where(rank <= k, gain, 0.0)


def metrics_at(ranks: NDArray[np.int64], cutoffs: Sequence[int] = (5, 10, 20)) -> dict[str, float]:
    """Compute the mean over users of every metric at every k: ``{"recall@10": ..., "mrr@10": ..., "ndcg@10": ...}``.

    Raises:
        DataError: There is no user to average over, or a rank is below 1.
        SearchError: A k is below 1.
    """
    if len(ranks) == 0:
        raise DataError("no ranks to average: there is no user to evaluate")
    return {f"{metric}@{k}": float(per_user(ranks, metric, k).mean()) for k in cutoffs for metric in METRICS}


def standard_errors_at(ranks: NDArray[np.int64], cutoffs: Sequence[int] = (5, 10, 20)) -> dict[str, float]:
    """Compute the standard error over users of every mean metric at every k; empty for fewer than two users.

    Raises:
        DataError: A rank is below 1.
        SearchError: A k is below 1.
    """
    if len(ranks) < 2:
        return {}
    root = float(np.sqrt(len(ranks)))
    return {
        f"{metric}@{k}": float(per_user(ranks, metric, k).std(ddof=1)) / root for k in cutoffs for metric in METRICS
    }
