"""The popularity baseline: the same scores for everybody, what any trained recommender has to beat."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from easrec.evaluation.evaluator import Score

__all__ = ["popularity_scores"]


def popularity_scores(counts: NDArray[np.int64]) -> Score:
    """A scorer for :meth:`easrec.evaluation.Evaluator.evaluate` that scores each item by its training interactions.

    Args:
        counts: ``(V + 1,)`` from ``split.training.counts(split.items)``; id 0 is padding.

    Returns:
        ``score(inputs (B, N), lengths (B,)) -> (B, V + 1)``, float64 so that no two counts become a tie.
    """
    values = torch.from_numpy(np.asarray(counts, dtype=np.float64))

    def score(inputs: Tensor, lengths: Tensor) -> Tensor:
        return values.to(inputs.device).expand(len(inputs), -1)

    return score
