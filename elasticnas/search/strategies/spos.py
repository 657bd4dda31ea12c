"""SPOS: a supernet trained by single paths, then evolution."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from elasticnas.search.bilevel import Progress
from elasticnas.search.result import SearchResult
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.one_shot import by_evaluations, evaluations
from elasticnas.search.strategies.problem import Problem
from elasticnas.search.strategies.strategy import Strategy

__all__ = ["SPOS"]


class SPOS(Strategy):
    """Every weight step runs one architecture, drawn uniformly; evolution then evaluates with the shared weights.

    As many architectures are evaluated as :func:`evaluations` says, none over the budget, and as many at random beside.
    Evolution is NSGA-II over cost and metric (ours; the paper's keeps the best by accuracy under constraints on the
    cost) and needs ``pip install 'elasticnas[evolve]'``.

    Args:
        population: Of a generation; a quarter of the evaluations where that is less, so that there are generations.

    Source: Guo et al., Single Path One-Shot NAS, arXiv:1904.00420: uniform path sampling, evolutionary search.
    """

    name = "spos"

    def __init__(self, population: int = 50) -> None:
        self.population = population

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
        """See :meth:`Strategy.search`; PluginError where Optuna is not installed."""
        return by_evaluations(
            self.name,
            problem,
            settings,
            "nsga2",
            max(2, min(self.population, evaluations(settings) // 4)),
            checkpoint=checkpoint,
            resume=resume,
            identity=identity,
            progress=progress,
        )
