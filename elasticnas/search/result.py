"""SearchResult: what a search and a random search found, with the history of the search."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import Field, SerializeAsAny

from elasticnas.calls import usage
from elasticnas.record import Figures, Record, Result, read_result
from elasticnas.report import Report
from elasticnas.report.brief import Brief, Summarised
from elasticnas.search.direction import Direction
from elasticnas.search.option_scores import OptionScores
from elasticnas.search.presentation import better, brief, draw, rows
from elasticnas.search.report import search_report
from elasticnas.space import Space
from elasticnas.space.space import S

__all__ = ["Candidate", "Direction", "Failure", "Measured", "SearchResult", "better", "pareto", "restore"]

A = TypeVar("A", bound=Space)


class Candidate(Record, Generic[A]):
    """An architecture with its costs and its metrics, evaluated with the supernet's weights.

    Attributes:
        architecture: The architecture.
        costs: Costs by name.
        metrics: Metrics by name.
    """

    architecture: SerializeAsAny[A]
    costs: dict[str, float]
    metrics: dict[str, float]


class Failure(Record, Generic[A]):
    """An architecture that could not be evaluated.

    Attributes:
        architecture: The architecture.
        message: Error message of the last attempt.
        attempts: Number of attempts.
    """

    architecture: SerializeAsAny[A]
    message: str
    attempts: int


class Measured(Record, Generic[A]):
    """An architecture with its predicted and measured cost, both in the cost's unit."""

    architecture: SerializeAsAny[A]
    predicted: float
    measured: float


R = TypeVar("R", Candidate[Any], Failure[Any])


def restore(kind: type[R], data: Mapping[str, Any], space: type[Space]) -> R:
    """Restore a candidate or failure from plain data."""
    return kind(**{**data, "architecture": space.model_validate(data["architecture"])})


class SearchResult(Summarised, Result, Generic[A]):
    """Result of a search: ``print(result)`` shows ten lines, and a notebook a table.

    Attributes:
        strategy: Name of the strategy.
        metric: The metric that ranks architectures.
        direction: Whether the metric is maximised or minimised.
        units: Units of the costs, by name.
        limits: Limits of the budgets, by name of the cost, in its unit.
        largest_costs: Costs of the largest architecture, by name; empty if they were not recorded.
        found: The architecture that the search chose; ``best`` is its architecture.
        random: The best of ``random_tried``.
        random_tried: Candidates that random search evaluated, on the same supernet within the same budgets.
        pareto: Pareto front of all evaluated candidates, cheapest first.
        random_pareto: Pareto front of random search alone.
        tried: Candidates that the search evaluated within the budgets, in order; empty for a gradient-based search.
        validated: What a gradient-based search evaluated on its way (``evaluate_every``), in order.
        probabilities: Final probability of every option, by choice; empty if the search has none.
        history: Records of the search: one per architecture step, or per evaluation, above the budgets too.
        failures: Architectures whose evaluation failed.
        warnings: Warnings about the search, such as an early collapse.
        latency: Predicted and measured latencies, by name of the cost, for each Latency that was predicted.
        scores: What every option changes in the metric, for a search by ``ScoreOptions``; else None.
        seconds: Time of the search, without random search.
        steps: Number of weight steps, or of evaluations.
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
    validated: tuple[Candidate[A], ...] = ()
    probabilities: dict[str, list[float]] = Field(default={})
    history: list[Figures] = Field(default=[])
    failures: tuple[Failure[A], ...] = ()
    warnings: tuple[str, ...] = ()
    latency: dict[str, tuple[Measured[A], ...]] = Field(default={})
    scores: OptionScores[A] | None = None
    seconds: float
    steps: int

    @property
    def best(self) -> A:
        """The architecture that the search chose."""
        return self.found.architecture

    @property
    def evaluated(self) -> int:
        """Number of different architectures that the search and random search evaluated together.

        Those above the budgets count, of which only :attr:`history` has records.
        """
        of_search = self.found, *self.tried, *self.validated
        known = {c.architecture for c in (*of_search, *self.pareto, self.random, *self.random_tried)}
        records = sum("evaluated" in record for record in self.history)
        return len(known) + max(0, records - len(self.tried))

    @classmethod
    def from_dict(cls, data: Mapping[str, object], space: type[S]) -> "SearchResult[S]":
        """Return the result that :meth:`to_dict` converted.

        Args:
            data: Plain data.
            space: The space of its architectures.

        Raises:
            ConfigError: The data has another format, or is damaged.
        """
        return read_result(SearchResult[space], data, "search result")  # type: ignore[valid-type]

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each evaluated architecture, as plain data: ``pandas.DataFrame(result.table())``.

        The columns are ``search`` (the strategy, or ``"random search"``), ``chosen``, ``front`` (whether no other row
        is better in the metric and the costs), the fields of the architecture (of nested spaces by dotted names), the
        costs and the metrics. A cost or metric whose name is taken is called ``cost NAME`` or ``metric NAME``.
        """
        return rows(self)

    @usage("result.plot(path), with a PNG file such as 'result.png'")
    def plot(self, path: "str | Path") -> None:
        """Plot the fronts of the search and of random search against the first cost, as a PNG file.

        Raises:
            PluginError: matplotlib is not installed.
            ElasticNASError: The file cannot be written.
        """
        draw(self, path)

    def report(self, folder: Path | None = None) -> Report:
        """Return the report for :func:`elasticnas.report.write_report`: found architecture, front, history.

        Args:
            folder: Folder of the search's run, to show the loss at every step; None leaves it out.
        """
        return search_report(self, folder)

    def _brief(self) -> Brief:
        return brief(self)


def pareto(candidates: "Sequence[Candidate[A]]", metric: str, direction: Direction) -> "tuple[Candidate[A], ...]":
    """Return the Pareto front of candidates over all costs and a metric, cheapest first."""
    sign = 1.0 if direction == "maximise" else -1.0

    def values(candidate: Candidate[A]) -> tuple[float, ...]:
        return (*candidate.costs.values(), -sign * candidate.metrics[metric])

    front: dict[tuple[float, ...], Candidate[A]] = {}
    for candidate in sorted(candidates, key=values):
        own = values(candidate)
        # sorted by cost: a candidate that dominates this one comes before it
        if not any(all(a <= b for a, b in zip(other, own, strict=True)) for other in front):
            front[own] = candidate
    return tuple(front.values())
