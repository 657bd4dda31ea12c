"""ProxylessNAS: binary path gates with a penalty on the expected cost."""

from elasticnas.search.binary_path import BinaryPath
from elasticnas.search.penalty import Fixed, Penalty
from elasticnas.search.problem import Problem
from elasticnas.search.relaxation import Relaxation
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.strategy import GradientStrategy

__all__ = ["ProxylessNAS"]


class ProxylessNAS(GradientStrategy):
    """Runs one sampled architecture, sliced, in a weight step, and two paths of every choice in an architecture step.

    An architecture step is one full-size pass for sizes and depth, and runs all candidates of a Mixture. The penalty is
    ``weight * expected cost``, for any cost.

    *Ours*: Eq. 4 holds if gates multiply outputs, as those of a Mixture and of depth do. The gate of a width is before
    the activation: there the gradient is that of the mask. The expected cost is relative to the largest architecture's,
    so that a weight has the same meaning for every unit; the paper's lambda_2 is per millisecond.

    Args:
        weight: Weight of the relative expected cost, lambda_2.

    Raises:
        ConfigError: The weight is negative or not finite.

    Source: ProxylessNAS, arXiv:1812.00332v2, Eq. 2 to 4, Section 3.2.1; the expected cost: Section 3.3.1.
    """

    name = "proxylessnas"

    def __init__(self, weight: float = 0.1) -> None:
        self.weight = Fixed(weight).weight

    def relaxation(self, settings: SearchSettings) -> Relaxation:
        """Return BinaryPath."""
        return BinaryPath()

    def penalty(self, problem: Problem) -> Penalty:
        """Return ``weight`` times the relative expected cost."""
        return Fixed(self.weight)
