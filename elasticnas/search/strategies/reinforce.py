"""Reinforce: architecture parameters trained with the score-function estimator."""

from elasticnas.search.penalty import Fixed, Penalty
from elasticnas.search.problem import Problem
from elasticnas.search.relaxation import Relaxation
from elasticnas.search.score_function import ScoreFunction
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.strategy import GradientStrategy

__all__ = ["Reinforce"]


class Reinforce(GradientStrategy):
    """Runs one sampled architecture in a weight step and two in an architecture step, never a mixture.

    It works with any supernet, elastified ones included. The gradient of the expected loss is an unbiased estimate
    (:class:`~elasticnas.search.ScoreFunction`); the gradient of the expected cost is exact if its expectation is.

    Args:
        weight: Weight of the relative expected cost.

    Raises:
        ConfigError: The weight is negative or not finite.

    Source: REINFORCE, Williams 1992, with a leave-one-out baseline of two samples (Kool et al. 2019); with shared
    weights: ENAS, arXiv:1802.03268, whose recurrent controller is not implemented.
    """

    name = "reinforce"

    def __init__(self, weight: float = 0.1) -> None:
        self.weight = Fixed(weight).weight

    def relaxation(self, settings: SearchSettings) -> Relaxation:
        """Return ScoreFunction."""
        return ScoreFunction()

    def penalty(self, problem: Problem) -> Penalty:
        """Return ``weight`` times the relative expected cost."""
        return Fixed(self.weight)
