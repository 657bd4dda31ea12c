"""Recall, MRR and NDCG at k from the rank of the one relevant item."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["metrics_at", "per_user"]


def per_user(ranks: NDArray[np.int64], metric: str, k: int) -> NDArray[np.float64]:
    """The metric of every user.

    With one relevant item at rank r (from 1): Recall@k = [r <= k], MRR@k = [r <= k] / r,
    NDCG@k = [r <= k] / log2(r + 1).

    Args:
        ranks: ``(users,)``.
        metric: ``"recall"``, ``"mrr"`` or ``"ndcg"``.
        k: Cut-off.

    Returns:
        ``(users,)``.

    Example:
        >>> per_user(np.array([1, 3, 11]), "ndcg", 10).round(3).tolist()
        [1.0, 0.5, 0.0]
    """
    rank = ranks.astype(np.float64)
    gain = {"recall": np.ones_like(rank), "mrr": 1 / rank, "ndcg": 1 / np.log2(rank + 1)}[metric]
    return np.where(ranks <= k, gain, 0.0)


def metrics_at(ranks: NDArray[np.int64], ks: Sequence[int] = (5, 10, 20)) -> dict[str, float]:
    """Mean over the users of every metric at every k: ``{"recall@10": ..., "mrr@10": ..., "ndcg@10": ...}``."""
    return {
        f"{metric}@{k}": float(per_user(ranks, metric, k).mean()) for k in ks for metric in ("recall", "mrr", "ndcg")
    }
