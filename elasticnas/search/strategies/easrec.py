"""EASRec: Gumbel-softmax, and a cost that weighs more the deeper the network is."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from elasticnas.errors import ConfigError
from elasticnas.search.bilevel import Progress
from elasticnas.search.penalty import Dynamic, Fixed, Penalty
from elasticnas.search.relaxation import Gumbel, Temperature
from elasticnas.search.result import SearchResult
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.gradient import by_gradient
from elasticnas.search.strategies.problem import Problem
from elasticnas.search.strategies.strategy import Strategy

__all__ = ["EASRec"]


class EASRec(Strategy):
    """Every option runs, weighted by a Gumbel-softmax that cools down; the loss has the dynamic resource constraint.

    The temperature falls linearly from 1 to 0.01 over the search (Table II in proportion to its length); the expected
    cost is relative to the largest architecture's (the paper leaves the normalisation open).

    Args:
        weight: lambda.
        depth: The field that holds the number of layers; None for a space without one: L_t / L is then 1.

    Raises:
        ConfigError: The weight is negative or not finite.

    Source: EASRec, arXiv:2402.00390v1, Eq. 10 to 17 and Algorithm 1.
    """

    name = "easrec"

    def __init__(self, weight: float = 0.1, depth: str | None = "depth") -> None:
        self.penalty_weight, self.depth = Fixed(weight).weight, depth

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
        """See :meth:`Strategy.search`; ConfigError where the space has no field for the depth."""
        return by_gradient(
            self.name,
            problem,
            settings,
            Gumbel(Temperature.over(settings.steps)),
            self._penalty(problem.cost.space),
            checkpoint=checkpoint,
            resume=resume,
            identity=identity,
            progress=progress,
        )

    def _penalty(self, space: Any) -> Penalty:
        if self.depth is None:
            return Fixed(self.penalty_weight)
        if not hasattr(space.largest(), self.depth):
            raise ConfigError(
                f"EASRec(depth={self.depth!r}): {space.__name__} has no such field; name the one that holds the number "
                "of layers, or give depth=None"
            )
        return Dynamic(self.penalty_weight, self.depth)
