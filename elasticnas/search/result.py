"""SearchResult: what a search found, what random search found beside it, and how it went."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from elasticnas.cost import LatencyReport

__all__ = ["Candidate", "SearchResult", "pareto"]


@dataclass(frozen=True)
class Candidate:
    """An architecture, its cost, and its metrics with the supernet's weights.

    Attributes:
        architecture: The architecture.
        cost: What it costs; the first of several costs.
        metrics: By name.
        further_costs: The others, in their order.
    """

    architecture: Any
    cost: float
    metrics: dict[str, float]
    further_costs: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        data = {"architecture": self.architecture.model_dump(mode="json"), "cost": self.cost, "metrics": self.metrics}
        return data | ({"further_costs": list(self.further_costs)} if self.further_costs else {})


@dataclass(frozen=True)
class SearchResult:
    """Outcome of a search.

    Attributes:
        found: The architecture that the search chose; ``best`` is its architecture.
        random: The best of ``random_tried`` drawn over the same supernet under the same budget.
        pareto: Candidates that no other evaluated one beats in cost and metric, cheapest first.
        random_pareto: Likewise of random search alone.
        tried: What the search evaluated, in order; empty where it follows gradients.
        probabilities: Final probability of every option, by choice; empty where there are none.
        history: Records of the search, such as one per architecture step, or the best metric after each evaluation.
        warnings: What a reader should know about the search, such as an early collapse.
        unit: Of the cost.
        limit: The budget, in ``unit``; None without one.
        seconds: That the search took, without random search.
        steps: Weight steps, or evaluations.
        latency: Predicted against measured milliseconds of what the search found, for each Latency that predicted.
    """

    found: Candidate
    random: Candidate
    random_tried: tuple[Candidate, ...]
    pareto: tuple[Candidate, ...]
    random_pareto: tuple[Candidate, ...]
    history: list[dict[str, Any]] = field(repr=False)
    warnings: tuple[str, ...]
    unit: str
    limit: float | None
    seconds: float
    steps: int
    probabilities: dict[str, list[float]] = field(default_factory=dict)
    tried: tuple[Candidate, ...] = ()
    latency: tuple[LatencyReport, ...] = ()

    @property
    def best(self) -> Any:
        """The architecture that the search chose."""
        return self.found.architecture

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        data = {key: value for key, value in asdict(self).items() if key in _PLAIN}
        several = {name: [candidate.to_dict() for candidate in getattr(self, name)] for name in _CANDIDATES}
        found = {"found": self.found.to_dict(), "random": self.random.to_dict()}
        return data | found | several | {"latency": [report.to_dict() for report in self.latency]}


_PLAIN = ("probabilities", "history", "warnings", "unit", "limit", "seconds", "steps")
_CANDIDATES = ("random_tried", "pareto", "random_pareto", "tried")


def pareto(candidates: Sequence[Candidate], metric: str, maximise: bool) -> tuple[Candidate, ...]:
    """Candidates that no other beats, no worse in the metric and every cost and better in one; cheapest first."""
    sign = 1.0 if maximise else -1.0

    def values(candidate: Candidate) -> tuple[float, ...]:
        return (candidate.cost, *candidate.further_costs, -sign * candidate.metrics[metric])

    front: dict[tuple[float, ...], Candidate] = {}
    for candidate in sorted(candidates, key=values):
        own = values(candidate)
        # sorted by cost: whoever beats it has come before
        if not any(all(a <= b for a, b in zip(other, own, strict=True)) for other in front):
            front[own] = candidate
    return tuple(front.values())
