"""RandomSearch: the best of random architectures, evaluated in a supernet."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from elasticnas.search.bilevel import Progress
from elasticnas.search.result import SearchResult
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.one_shot import by_evaluations
from elasticnas.search.strategies.problem import Problem
from elasticnas.search.strategies.strategy import Strategy

__all__ = ["RandomSearch"]


class RandomSearch(Strategy):
    """Trains like SPOS, then takes the best of random architectures within the budget, as many as SPOS evaluates.

    What every search has to beat.

    Source: random search with shared weights: Li and Talwalkar, arXiv:1902.07638; the supernet's training: SPOS,
    arXiv:1904.00420.
    """

    name = "random"

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
        return by_evaluations(
            self.name,
            problem,
            settings,
            "random",
            checkpoint=checkpoint,
            resume=resume,
            identity=identity,
            progress=progress,
        )
