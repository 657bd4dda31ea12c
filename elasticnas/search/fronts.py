"""Series of a plot of a search: its own candidates, and those of random search."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from elasticnas.report import Series

if TYPE_CHECKING:
    from elasticnas.search.result import Candidate, SearchResult

__all__ = ["RANDOM", "evaluated", "front_series"]

RANDOM = "random search"


def evaluated(result: "SearchResult[Any]") -> "tuple[Candidate[Any], ...]":
    """Return what the search itself evaluated: a gradient search evaluates the found architecture alone."""
    return result.tried or (result.found,)


def front_series(result: "SearchResult[Any]", cost: str, name: str = "", scale: float = 1.0) -> list[Series]:
    """Return the series of a plot of the metric against a cost; candidates without the metric are left out.

    ``result.pareto`` is the front of both searches together and may hold no candidate of the search, so each front is
    computed from its own candidates.

    Args:
        result: Result of the search.
        cost: Name of the cost.
        name: Name of the search in the legend; its strategy by default.
        scale: Factor of the costs, such as 1e-6 for millions.
    """
    name = name or result.strategy
    found = Series(f"found by {name}", _points(result, [result.found], cost, scale), method=name)
    series = [*_of(result, name, result.tried, cost, scale), found]
    return [each for each in [*series, *_of(result, RANDOM, result.random_tried, cost, scale)] if each.points]


def _of(
    result: "SearchResult[Any]", name: str, tried: "Sequence[Candidate[Any]]", cost: str, scale: float
) -> list[Series]:
    from elasticnas.search.result import pareto  # the result imports its own plots

    measured = [candidate for candidate in tried if result.metric in candidate.metrics]
    front = pareto(measured, result.metric, result.direction)
    return [
        Series(f"{name}, front", _points(result, front, cost, scale), "steps", method=name),
        Series(f"{name}, evaluated", _points(result, measured, cost, scale), "dots", str(len(measured)), name),
    ]


def _points(
    result: "SearchResult[Any]", candidates: "Sequence[Candidate[Any]]", cost: str, scale: float
) -> list[tuple[float, float]]:
    return [(c.costs[cost] * scale, c.metrics[result.metric]) for c in candidates if result.metric in c.metrics]
