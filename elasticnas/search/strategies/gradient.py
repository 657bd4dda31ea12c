"""by_gradient: what the strategies that follow gradients share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from elasticnas.search.bilevel import BilevelSearcher, Progress
from elasticnas.search.penalty import Penalty
from elasticnas.search.pruning import Pruning
from elasticnas.search.relaxation import Relaxation
from elasticnas.search.result import SearchResult
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.problem import Problem
from elasticnas.search.strategies.strategy import identified

__all__ = ["by_gradient"]


def by_gradient(
    name: str,
    problem: Problem,
    settings: SearchSettings,
    relaxation: Relaxation,
    penalty: Penalty | None = None,
    pruning: Pruning | None = None,
    *,
    checkpoint: Path | None,
    resume: bool,
    identity: Mapping[str, Any] | None,
    progress: Callable[[Progress], None] | None,
) -> SearchResult:
    """Search a problem by :class:`elasticnas.search.BilevelSearcher`, as the strategy of a name."""
    searcher = BilevelSearcher(
        problem.model,
        problem.loss,
        problem.train,
        problem.held_out,
        problem.cost,
        settings,
        relaxation=relaxation,
        penalty=penalty,
        pruning=pruning,
        budget=problem.budget,
        evaluate=problem.evaluate,
        metric=problem.metric,
        maximise=problem.maximise,
    )
    return searcher.run(checkpoint, resume, identified(name, identity), progress)
