"""ProxylessNAS: binary path gates, and a loss on the expected cost."""

from elasticnas.search.binary_path import BinaryPath
from elasticnas.search.penalty import Fixed, Penalty
from elasticnas.search.problem import Problem
from elasticnas.search.relaxation import Relaxation
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.strategy import GradientStrategy

__all__ = ["ProxylessNAS"]


class ProxylessNAS(GradientStrategy):
    """A weight step runs one sampled architecture, sliced; an architecture step compares two paths of every choice.

    The architecture step is one full-size pass for sizes and depth; of a Mixture it computes all candidates. The loss
    has ``weight * expected cost``, in FLOPs, milliseconds or whatever the problem's cost counts.

    *Ours*: Eq. 4 holds where gates multiply outputs, which are those of a Mixture and of depth. The gate of a width
    sits before the activation: there the gradient is that of the mask. The expected cost is divided by the largest
    architecture's, so that a weight means the same for each unit; the paper's lambda_2 is per millisecond.

    Args:
        weight: Of the relative expected cost, lambda_2.

    Raises:
        ConfigError: The weight is negative or not finite.

    Source: ProxylessNAS, arXiv:1812.00332v2, Eq. 2 to 4, Section 3.2.1; the expected cost: Section 3.3.1.
    """

    name = "proxylessnas"

    def __init__(self, weight: float = 0.1) -> None:
        self.weight = Fixed(weight).weight

    def relaxation(self, settings: SearchSettings) -> Relaxation:
        """Binary path gates."""
        return BinaryPath()

    def penalty(self, problem: Problem) -> Penalty:
        """``weight`` times the relative expected cost."""
        return Fixed(self.weight)
