"""Sparse: DARTS with sparsemax in the place of softmax."""

import torch
from torch import Tensor

from elasticnas.search import Fixed, GradientStrategy, Penalty, Problem, Relaxation, SearchSettings

__all__ = ["Sparse", "Sparsemax"]


class Sparsemax(Relaxation):
    """The point of the probability simplex that is closest to the logits: options far behind get exactly 0.

    Source: Martins and Astudillo, From Softmax to Sparsemax, arXiv:1602.02068, Algorithm 1.
    """

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Probabilities ``(options,)``."""
        return self.probabilities(logits)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The same: there is no noise, and softmax would give every option a share."""
        ordered = logits.sort(descending=True).values
        sums, counts = ordered.cumsum(0), torch.arange(1, len(logits) + 1).to(logits)
        kept = int((1 + counts * ordered > sums).sum())
        return (logits - (sums[kept - 1] - 1) / kept).clamp(min=0)


class Sparse(GradientStrategy):
    """Every option with a probability runs, weighted by it; an option with none gets no gradient and stays out.

    Args:
        weight: Of the relative expected cost.

    Raises:
        ConfigError: The weight is negative or not finite.
    """

    name = "sparse"

    def __init__(self, weight: float = 0.1) -> None:
        self.weight = Fixed(weight).weight

    def relaxation(self, settings: SearchSettings) -> Relaxation:
        """Sparsemax."""
        return Sparsemax()

    def penalty(self, problem: Problem) -> Penalty:
        """``weight`` times the relative expected cost."""
        return Fixed(self.weight)
