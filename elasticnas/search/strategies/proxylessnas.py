"""ProxylessNAS: binary path gates, and a loss on the expected cost."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from elasticnas.search.bilevel import Progress
from elasticnas.search.binary_path import BinaryPath
from elasticnas.search.penalty import Fixed
from elasticnas.search.result import SearchResult
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.gradient import by_gradient
from elasticnas.search.strategies.problem import Problem
from elasticnas.search.strategies.strategy import Strategy

__all__ = ["ProxylessNAS"]


class ProxylessNAS(Strategy):
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
        self.penalty_weight = Fixed(weight).weight

    def search(
        self,
        problem: Problem,
        settings: SearchSettings,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
        identity: Mapping[str, Any] | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> SearchResult:
        """See :meth:`Strategy.search`."""
        return by_gradient(
            self.name,
            problem,
            settings,
            BinaryPath(),
            Fixed(self.penalty_weight),
            checkpoint=checkpoint,
            resume=resume,
            identity=identity,
            progress=progress,
        )
