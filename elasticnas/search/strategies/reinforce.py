"""Reinforce: architecture parameters that learn from sampled architectures alone."""

from elasticnas.search.penalty import Fixed, Penalty
from elasticnas.search.problem import Problem
from elasticnas.search.relaxation import Relaxation
from elasticnas.search.score_function import ScoreFunction
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.strategy import GradientStrategy

__all__ = ["Reinforce"]


class Reinforce(GradientStrategy):
    """A weight step runs one sampled architecture, an architecture step compares two; nothing is ever mixed.

    It searches any supernet, elastified ones included. The gradient of the expected loss is estimated without bias
    (:class:`~elasticnas.search.ScoreFunction`), that of the expected cost is exact where the cost's expectation is.

    Args:
        weight: Of the relative expected cost.

    Raises:
        ConfigError: The weight is negative or not finite.

    Source: REINFORCE, Williams 1992, with a leave-one-out baseline of two (Kool et al. 2019); over architectures of
    a shared supernet: ENAS, arXiv:1802.03268, whose recurrent controller is not here.
    """

    name = "reinforce"

    def __init__(self, weight: float = 0.1) -> None:
        self.weight = Fixed(weight).weight

    def relaxation(self, settings: SearchSettings) -> Relaxation:
        """Sampled architectures."""
        return ScoreFunction()

    def penalty(self, problem: Problem) -> Penalty:
        """``weight`` times the relative expected cost."""
        return Fixed(self.weight)
