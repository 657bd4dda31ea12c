"""SearchResult: what a search found, what random search found beside it, and how it went."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import Field, SerializeAsAny

from elasticnas.record import Figures, Record, Result, read_result
from elasticnas.report import Report
from elasticnas.search.presentation import better, brief, draw, rows
from elasticnas.search.report import search_report
from elasticnas.space import Space
from elasticnas.space.space import S

__all__ = ["Candidate", "Direction", "Failure", "Measured", "SearchResult", "better", "pareto", "revived"]

Direction: TypeAlias = Literal["maximise", "minimise"]
A = TypeVar("A", bound=Space)


class Candidate(Record, Generic[A]):
    """An architecture, its costs, and its metrics with the supernet's weights.

    Attributes:
        architecture: The architecture.
        costs: By the names that the problem gives them.
        metrics: By name.
    """

    architecture: SerializeAsAny[A]
    costs: dict[str, float]
    metrics: dict[str, float]


class Failure(Record, Generic[A]):
    """An architecture that could not be evaluated.

    Attributes:
        architecture: The architecture.
        message: Of the last attempt's error.
        attempts: How often it was tried.
    """

    architecture: SerializeAsAny[A]
    message: str
    attempts: int


class Measured(Record, Generic[A]):
    """A predicted cost and its measurement, both in the cost's unit."""

    architecture: SerializeAsAny[A]
    predicted: float
    measured: float


R = TypeVar("R", Candidate[Any], Failure[Any])


def revived(kind: type[R], data: Mapping[str, Any], space: type[Space]) -> R:
    """The candidate or failure that was dumped as plain data, with an architecture of its space."""
    return kind(**{**data, "architecture": space.model_validate(data["architecture"])})


class SearchResult(Result, Generic[A]):
    """Outcome of a search: ``print(result)`` shows it in ten lines, and a notebook as a table.

    Attributes:
        strategy: Name of the strategy.
        metric: By which architectures are ranked.
        direction: Whether more of it is better.
        units: Of the costs, by name.
        limits: The budgets, by name of the cost, in its unit.
        largest_costs: Of the largest architecture, by name; empty where that was not recorded.
        found: The architecture that the search chose; ``best`` is its architecture.
        random: The best of ``random_tried`` drawn over the same supernet under the same budgets.
        random_tried: What random search evaluated.
        pareto: Candidates that no other evaluated one beats in costs and metric, cheapest first.
        random_pareto: Likewise of random search alone.
        tried: What the search evaluated, in order; empty where it follows gradients.
        probabilities: Final probability of every option, by choice; empty where there are none.
        history: Records of the search: one per architecture step, or per evaluation.
        failures: Architectures whose evaluation failed.
        warnings: What a reader should know about the search, such as an early collapse.
        latency: Predicted against measured, by name of the cost, for each Latency that predicted.
        seconds: That the search took, without random search.
        steps: Weight steps, or evaluations.
    """

    strategy: str
    metric: str
    direction: Direction
    units: dict[str, str]
    limits: dict[str, float] = Field(default={})
    largest_costs: dict[str, float] = Field(default={})
    found: Candidate[A]
    random: Candidate[A]
    random_tried: tuple[Candidate[A], ...] = ()
    pareto: tuple[Candidate[A], ...] = ()
    random_pareto: tuple[Candidate[A], ...] = ()
    tried: tuple[Candidate[A], ...] = ()
    probabilities: dict[str, list[float]] = Field(default={})
    history: list[Figures] = Field(default=[])
    failures: tuple[Failure[A], ...] = ()
    warnings: tuple[str, ...] = ()
    latency: dict[str, tuple[Measured[A], ...]] = Field(default={})
    seconds: float
    steps: int

    @property
    def best(self) -> A:
        """The architecture that the search chose."""
        return self.found.architecture

    @property
    def evaluated(self) -> int:
        """How many different architectures the search and random search evaluated together."""
        return len({c.architecture for c in (self.found, *self.tried, *self.pareto, self.random, *self.random_tried)})

    @classmethod
    def from_dict(cls, data: Mapping[str, object], space: type[S]) -> "SearchResult[S]":
        """The result that :meth:`to_dict` gave.

        Args:
            data: Plain data.
            space: Of its architectures.

        Raises:
            ConfigError: Of another format, or damaged.
        """
        return read_result(SearchResult[space], data, "search result")  # type: ignore[valid-type]

    def table(self) -> list[dict[str, Any]]:
        """One row for each evaluated architecture, as plain data: ``pandas.DataFrame(result.table())``.

        The columns are ``search`` (the strategy, or ``"random search"``), ``chosen``, ``front``, the fields of the
        architecture (of nested spaces by dotted names), the costs and the metrics. A cost or metric whose name is
        taken is called ``cost NAME`` or ``metric NAME``.
        """
        return rows(self)

    def plot(self, path: "str | Path") -> None:
        """The fronts of the search and of random search over the first cost, as a PNG file.

        Raises:
            PluginError: matplotlib is not installed.
            ElasticNASError: The file cannot be written.
        """
        draw(self, path)

    def report(self, folder: Path | None = None) -> Report:
        """Sections for :func:`elasticnas.report.write_report`: what was found, the front, the history.

        Args:
            folder: Of the search's run: its loss at every step is shown too.
        """
        return search_report(self, folder)

    def __str__(self) -> str:
        return brief(self).text()

    def __repr__(self) -> str:
        return str(self)  # the fields of a search with its history are thousands of lines

    def _repr_html_(self) -> str:
        return brief(self).html()


def pareto(candidates: "Sequence[Candidate[A]]", metric: str, direction: Direction) -> "tuple[Candidate[A], ...]":
    """Candidates that no other beats, no worse in the metric and every cost and better in one; cheapest first."""
    sign = 1.0 if direction == "maximise" else -1.0

    def values(candidate: Candidate[A]) -> tuple[float, ...]:
        return (*candidate.costs.values(), -sign * candidate.metrics[metric])

    front: dict[tuple[float, ...], Candidate[A]] = {}
    for candidate in sorted(candidates, key=values):
        own = values(candidate)
        # sorted by cost: whoever beats it has come before
        if not any(all(a <= b for a, b in zip(other, own, strict=True)) for other in front):
            front[own] = candidate
    return tuple(front.values())
