"""SearchResult: what a search found, what random search found beside it, and how it went."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import Field, SerializeAsAny
from rich.markup import escape
from rich.table import Table

from elasticnas.record import Record, Result, read_result
from elasticnas.report import Report, Series, pareto_plot
from elasticnas.search.report import search_report
from elasticnas.space import Space

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
    """Outcome of a search; ``str(result)`` says the most important in a few lines.

    Attributes:
        strategy: Name of the strategy.
        metric: By which architectures are ranked.
        direction: Whether more of it is better.
        units: Of the costs, by name.
        limits: The budgets, by name of the cost, in its unit.
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
    found: Candidate[A]
    random: Candidate[A]
    random_tried: tuple[Candidate[A], ...] = ()
    pareto: tuple[Candidate[A], ...] = ()
    random_pareto: tuple[Candidate[A], ...] = ()
    tried: tuple[Candidate[A], ...] = ()
    probabilities: dict[str, list[float]] = Field(default={})
    history: list[dict[str, Any]] = Field(default=[], repr=False)
    failures: tuple[Failure[A], ...] = ()
    warnings: tuple[str, ...] = ()
    latency: dict[str, tuple[Measured[A], ...]] = Field(default={})
    seconds: float
    steps: int

    @property
    def best(self) -> A:
        """The architecture that the search chose."""
        return self.found.architecture

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], space: type[A]) -> "SearchResult[A]":
        """The result that :meth:`to_dict` gave.

        Args:
            data: Plain data.
            space: Of its architectures.

        Raises:
            ConfigError: Of another format, or damaged.
        """
        return read_result(SearchResult[space], data, "search result")  # type: ignore[valid-type]

    def table(self) -> Table:
        """What was found beside random search: costs and metrics."""
        names = list(dict.fromkeys([self.metric, *self.found.metrics]))
        shown = Table(title=escape(f"{self.strategy}: {self.metric}, {better(self.direction)}"))
        for name in ("", "architecture", *(f"{name}, {unit}" for name, unit in self.units.items()), *names):
            shown.add_column(escape(name), justify="left" if name in ("", "architecture") else "right")
        for label, candidate in (("found", self.found), ("random search", self.random)):
            costs = [f"{candidate.costs[name]:,.4g}" for name in self.units]
            metrics = [f"{candidate.metrics[name]:.4f}" if name in candidate.metrics else "" for name in names]
            shown.add_row(label, escape(str(candidate.architecture)), *costs, *metrics)
        return shown

    def plot(self, path: "str | Path") -> None:
        """The fronts of the search and of random search over the first cost, as a PNG file.

        Raises:
            PluginError: matplotlib is not installed.
            ElasticNASError: The file cannot be written.
        """
        cost, unit = next(iter(self.units.items()))
        series = []
        for name, front, tried in (
            (self.strategy, self.pareto, self.tried),
            ("random search", self.random_pareto, self.random_tried),
        ):
            series.append(Series(f"{name}, front", self._points(front, cost), "steps", method=name))
            series.append(Series(f"{name}, evaluated", self._points(tried or front, cost), "dots", method=name))
        pareto_plot({f"{self.strategy} and random search": series}, path, cost=f"{cost}, {unit}", metrics=[self.metric])

    def report(self, folder: Path | None = None) -> Report:
        """Sections for :func:`elasticnas.report.write_report`: what was found, the front, the history.

        Args:
            folder: Of the search's run: its loss at every step is shown too.
        """
        return search_report(self, folder)

    def _points(self, candidates: "Sequence[Candidate[A]]", cost: str) -> list[tuple[float, float]]:
        return [(candidate.costs[cost], candidate.metrics[self.metric]) for candidate in candidates]

    def __str__(self) -> str:
        lines = [
            f"{self.strategy}: {self.steps:,} steps in {self.seconds:.1f} s; {self.metric}, {better(self.direction)}",
            f"found   {self._line(self.found)}",
            f"random  {self._line(self.random)}, best of {len(self.random_tried)}",
            f"front   {len(self.pareto)} architectures",
        ]
        if self.limits:
            limits = (f"{name} at most {limit:,.6g} {self.units[name]}" for name, limit in self.limits.items())
            lines.append(f"budget  {', '.join(limits)}")
        if self.failures:
            lines.append(f"failed  {len(self.failures)} evaluations, such as {self.failures[0].message[:80]}")
        lines += [f"warning {line[:200]}" for line in self.warnings[:3]]
        if len(self.warnings) > 3:
            lines.append(f"        and {len(self.warnings) - 3} more in .warnings")
        return "\n".join(lines)

    def _line(self, candidate: "Candidate[A]") -> str:
        costs = ", ".join(f"{value:,.6g} {self.units[name]}" for name, value in candidate.costs.items())
        metric = candidate.metrics.get(self.metric)
        return f"{candidate.architecture!r}: {costs}" + ("" if metric is None else f", {self.metric} {metric:.4g}")


def better(direction: Direction) -> str:
    """The direction of a metric, for titles."""
    return "higher is better" if direction == "maximise" else "lower is better"


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
