"""Sparse: DARTS with sparsemax instead of softmax."""

import torch
from torch import Tensor

from elasticnas.search import Fixed, GradientStrategy, Penalty, Problem, Relaxation, SearchSettings

__all__ = ["Sparse", "Sparsemax"]


class Sparsemax(Relaxation):
    """Projection of the logits onto the probability simplex, in which options far behind get exactly 0.

    Source: Martins and Astudillo, From Softmax to Sparsemax, arXiv:1602.02068, Algorithm 1.
    """

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Return probabilities ``(options,)``."""
        return self.probabilities(logits)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the same, because there is no noise; the default is the softmax."""
        ordered = logits.sort(descending=True).values
        sums, counts = ordered.cumsum(0), torch.arange(1, len(logits) + 1).to(logits)
        kept = int((1 + counts * ordered > sums).sum())
        return (logits - (sums[kept - 1] - 1) / kept).clamp(min=0)


class Sparse(GradientStrategy):
    """DARTS on sparse mixtures: an option with probability 0 does not run and gets no gradient.

    Args:
        weight: Weight of the relative expected cost in the loss.

    Raises:
        ConfigError: The weight is negative or not finite.
    """

    name = "sparse"

    def __init__(self, weight: float = 0.1) -> None:
        self.weight = Fixed(weight).weight

    def relaxation(self, settings: SearchSettings) -> Relaxation:
        """Return sparsemax."""
        return Sparsemax()

    def penalty(self, problem: Problem) -> Penalty:
        """Return a penalty of ``weight`` times the relative expected cost."""
        return Fixed(self.weight)
