"""Presentation of a search result: brief, table rows, plot."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticnas.report import pareto_plot
from elasticnas.report.brief import Brief
from elasticnas.report.numbers import compact, counted
from elasticnas.report.rows import Row, flat, row
from elasticnas.search.fronts import RANDOM, evaluated, front_series

if TYPE_CHECKING:
    from elasticnas.search.result import Candidate, Direction, SearchResult

__all__ = ["better", "brief", "draw", "rows"]


def better(direction: "Direction") -> str:
    """Return the direction of a metric as text, for titles."""
    return "higher is better" if direction == "maximise" else "lower is better"


def brief(result: "SearchResult[Any]") -> Brief:
    """Compare the found and random architectures, costs also with that of the largest, with notes on the search."""
    shown: dict[str, Candidate[Any]] = {"found": result.found, "random search": result.random}
    metric = [_metric(candidate, result.metric) for candidate in shown.values()]
    lines = [[f"{result.metric}, {better(result.direction)}", *metric]]
    for name, unit in result.units.items():
        full = result.largest_costs.get(name)
        costs = [_cost(candidate.costs[name], full) for candidate in shown.values()]
        # the largest is not a column: a search does not evaluate it
        lines.append([f"{name}, {unit}" + (" (of largest)" if full else ""), *costs])
    title = (
        f"{result.strategy}: {counted(result.steps, 'step')} in {result.seconds:.1f} s, "
        f"{counted(result.evaluated, 'architecture')} evaluated, {len(result.failures)} failed"
    )
    return Brief(title, ["", *shown], lines, _notes(result))


def rows(result: "SearchResult[Any]") -> list[Row]:
    """Return a row for each evaluated architecture, those of the search first."""
    several = [(result.strategy, evaluated(result), result.found), (RANDOM, result.random_tried, result.random)]
    front = {candidate.architecture for candidate in result.pareto}
    metrics = list(dict.fromkeys(name for _, tried, _ in several for c in tried for name in c.metrics))
    return [
        row(
            result={
                "search": search,
                "chosen": candidate.architecture == chosen.architecture,
                "front": candidate.architecture in front,
            },
            architecture=flat(candidate.architecture.model_dump(mode="json")),
            cost=candidate.costs,
            metric={name: candidate.metrics.get(name) for name in metrics},
        )
        for search, tried, chosen in several
        for candidate in tried
    ]


def draw(result: "SearchResult[Any]", path: "str | Path") -> None:
    """Plot the fronts of the search and of random search against the first cost."""
    cost, unit = next(iter(result.units.items()))
    panels = {f"{result.strategy} and {RANDOM}": front_series(result, cost)}
    pareto_plot(panels, path, cost=f"{cost}, {unit}", metrics=[result.metric])


def _notes(result: "SearchResult[Any]") -> list[tuple[str, str]]:
    limits = [f"{name} at most {compact(limit)} {result.units[name]}" for name, limit in result.limits.items()]
    notes = [
        ("found", repr(result.best)),
        ("random", f"best of {len(result.random_tried)}: {result.random.architecture!r}"),
        ("front", "; budget: ".join([counted(len(result.pareto), "architecture"), *filter(None, [", ".join(limits)])])),
    ]
    if result.scores is not None:
        notes.append(("scores", result.scores.summary()))
    if result.failures:
        notes.append(("failed", f"{counted(len(result.failures), 'evaluation')}: {result.failures[0].message}"))
    if result.warnings:
        others = f"(1 of {len(result.warnings)} in .warnings) " if len(result.warnings) > 1 else ""
        notes.append(("warning", others + result.warnings[0]))
    return notes


def _metric(candidate: "Candidate[Any]", metric: str) -> str:
    return f"{candidate.metrics[metric]:.4g}" if metric in candidate.metrics else "-"


def _cost(value: float, full: "float | None") -> str:
    return compact(value) + ("" if not full else f" ({value / full:.0%})")
