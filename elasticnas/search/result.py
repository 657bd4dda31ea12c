"""SearchResult: what a search found, what random search found beside it, and how it went."""

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Candidate", "SearchResult"]


@dataclass(frozen=True)
class Candidate:
    """An architecture, its cost, and its metrics with the supernet's weights."""

    architecture: Any
    cost: float
    metrics: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"architecture": self.architecture.model_dump(mode="json"), "cost": self.cost, "metrics": self.metrics}


@dataclass(frozen=True)
class SearchResult:
    """Outcome of a search.

    Attributes:
        found: The architecture that the search chose; ``best`` is its architecture.
        random: The best of ``random_tried`` drawn over the same supernet under the same budget.
        pareto: Candidates that no other evaluated one beats in both cost and metric, cheapest first.
        probabilities: Final probability of every option, by choice.
        history: One record per architecture step: step, losses, temperature, entropy of each choice, expected cost.
        warnings: What a reader should know about the search, such as an early collapse.
    """

    found: Candidate
    random: Candidate
    random_tried: tuple[Candidate, ...]
    pareto: tuple[Candidate, ...]
    probabilities: dict[str, list[float]]
    history: list[dict[str, Any]] = field(repr=False)
    warnings: tuple[str, ...]
    unit: str
    limit: float | None
    seconds: float
    steps: int

    @property
    def best(self) -> Any:
        """The architecture that the search chose."""
        return self.found.architecture

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        data = {key: value for key, value in asdict(self).items() if key in _PLAIN}
        return data | {
            "found": self.found.to_dict(),
            "random": self.random.to_dict(),
            "random_tried": [candidate.to_dict() for candidate in self.random_tried],
            "pareto": [candidate.to_dict() for candidate in self.pareto],
        }


_PLAIN = ("probabilities", "history", "warnings", "unit", "limit", "seconds", "steps")


def pareto(candidates: list[Candidate], metric: str, maximise: bool) -> tuple[Candidate, ...]:
    """Candidates that no other beats in both cost and metric, cheapest first."""
    front: list[Candidate] = []
    sign = 1.0 if maximise else -1.0
    for candidate in sorted(candidates, key=lambda c: (c.cost, -sign * c.metrics[metric])):
        if not front or sign * candidate.metrics[metric] > sign * front[-1].metrics[metric]:
            front.append(candidate)
    return tuple(front)
