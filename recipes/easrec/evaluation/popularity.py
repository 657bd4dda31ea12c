"""The popularity baseline, and popularity correction of a model's scores."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from easrec.evaluation.evaluator import Score

__all__ = ["popularity_scores", "without_popularity"]


def popularity_scores(counts: NDArray[np.int64]) -> Score:
    """Return a scorer for :meth:`easrec.evaluation.Evaluator.evaluate` that ranks items by training interactions.

    Args:
        counts: ``(V + 1,)`` from ``split.training.counts(split.items)``; id 0 is padding.

    Returns:
        ``score(inputs (B, N), lengths (B,)) -> (B, V + 1)``, the rank of each count among the distinct ones, so that
        different counts never tie in float32.
    """
    values = torch.from_numpy(np.unique(counts, return_inverse=True)[1].astype(np.float32))

    def score(inputs: Tensor, lengths: Tensor, *when: Tensor) -> Tensor:
        return values.to(inputs.device).expand(len(inputs), -1)

    return score


def without_popularity(score: Score, counts: NDArray[np.int64], weight: float) -> Score:
    """Return the scorer ``score - weight * log(max(count, 1))``, which reduces the effect of popularity.

    Softmax cross entropy learns log p(item | history), which contains log p(item). Negatives drawn by popularity
    (pop100) compensate part of that; full rankings do not.

    Args:
        score: A model's scores.
        counts: ``(V + 1,)`` from ``split.training.counts(split.items)``.
        weight: Weight of the correction; 0 returns ``score`` unchanged.

    Source: logit adjustment, Menon et al., arXiv:2007.07314.
    """
    if weight == 0:
        return score
    logs = torch.from_numpy(np.log(np.maximum(np.asarray(counts, dtype=np.float64), 1)))

    def corrected(inputs: Tensor, lengths: Tensor, *when: Tensor) -> Tensor:
        scores = score(inputs, lengths, *when)
        return scores - weight * logs.to(scores)

    return corrected
