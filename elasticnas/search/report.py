"""Report of a search: results, comparison with random search, history."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticnas.report import Report, Series
from elasticnas.report.html import Chart, Drawing, Facts, Grid, Lines, Part, Section, curves, read_metrics, thinned
from elasticnas.report.rows import sizes_text
from elasticnas.search.fronts import RANDOM, evaluated, front_series
from elasticnas.search.scores_report import scores_parts

if TYPE_CHECKING:
    from elasticnas.search.result import Candidate, SearchResult

__all__ = ["drawing", "history", "search_report", "search_sections"]

_PROBABILITY = (0.0, 1.0)
_FOLDED = 12  # most charts of probabilities that are not folded


def search_report(result: "SearchResult[Any]", folder: Path | None = None) -> Report:
    """Return the report of a search.

    Args:
        result: Result of the search.
        folder: Folder of its run, to show the loss at every step; None leaves it out.
    """
    return Report(f"{result.strategy}: search by {result.metric}", search_sections(result, folder))


def search_sections(result: "SearchResult[Any]", folder: Path | None = None, label: str = "") -> list[Section]:
    """Return the sections of a search: found architecture, front, scores, history and probabilities.

    Args:
        result: Result of the search.
        folder: Folder of its run, with ``metrics.jsonl``; None leaves the losses of every step out.
        label: Prefix of the metric, such as ``validation``.
    """
    metric = f"{label} {result.metric}".strip()
    found: list[Part] = [Facts(_facts(result, metric)), _candidates(result, metric), *_front(result, metric)]
    found.append(drawing("Found architecture", result.best))
    sections = [Section("Search", found), Section("Search history", history(result, folder, metric))]
    charts = _probabilities(result)
    sections.append(Section("Probabilities of every choice", charts, folded=len(charts) > _FOLDED))
    if result.scores is not None:
        sections.insert(1, Section("Scores of the options", scores_parts(result.scores, metric)))
    if result.warnings:
        sections.insert(1, Section("Warnings of the search", [Lines(result.warnings)]))
    return sections


def drawing(title: str, arch: Any) -> Drawing:
    """Draw an architecture layer by layer, with derived sizes; choices without effect in a layer are left out."""
    space, sizes = type(arch), _sizes(arch)
    for name in space.choices().keys() - space.present(arch):
        *path, layer = name.split(".")
        node: Any = sizes
        for part in path:
            node = node[part]
        if int(layer) < len(node):
            node[int(layer)] = None
    return Drawing(title, sizes, _sizes(space.largest()))


def history(result: "SearchResult[Any]", folder: Path | None, metric: str = "") -> list[Part]:
    """Return charts of loss, entropy, cost and metric over the steps of the search, as far as they are recorded.

    Args:
        result: Result of the search.
        folder: Folder of its run; None leaves the losses of every step out.
        metric: Name of the metric in the charts; the result's by default.
    """
    records, note = thinned(result.history)
    steps, steps_note = thinned(read_metrics(folder / "metrics.jsonl") if folder is not None else [])
    cost, unit = next(iter(result.units.items()))
    step = "weight step"
    losses = curves(steps, {"loss": "training loss, every step"}) or curves(records, {"train_loss": "training loss"})
    losses += curves(records, {"held_out_loss": "held-out loss"})
    expected_cost = f"Expected {unit if _same(cost, unit) else cost}"
    expected = curves(records, {"expected_cost": expected_cost})
    evaluated = [
        *(replace(each, form="dots") for each in curves(records, {"metric": "evaluated"}, "evaluated")),
        *curves(records, {"best": "best so far"}, "evaluated"),
    ]
    # with the loss as metric, "loss" in the records is the training loss
    measured = [] if result.metric == "loss" else curves(steps, {result.metric: metric or result.metric})
    charts = [
        Chart("Loss", losses, step, "loss", " ".join(dict.fromkeys(filter(None, [steps_note, note])))),
        Chart("Entropy of the choices", _entropies(records), step, "entropy, 1 is undecided", note, ends=(0.0, 1.0)),
        Chart(expected_cost, expected, step, unit, note, horizontal=_limit(result, cost)),
        Chart("Metric of the evaluations", evaluated, "evaluation", metric or result.metric, note),
        Chart("Metric during the search", measured, step, metric or result.metric, steps_note),
    ]
    return [chart for chart in charts if chart.series]


def _facts(result: "SearchResult[Any]", metric: str) -> dict[str, str]:
    limits = (f"{name} at most {_number(limit)} {result.units[name]}" for name, limit in result.limits.items())
    facts = {
        "strategy": result.strategy,
        "metric": f"{metric}, {'higher' if result.direction == 'maximise' else 'lower'} is better",
        "budget": ", ".join(limits) or "none",
        "time": f"{result.seconds:,.1f} s, {result.steps:,} steps",
    }
    if result.failures:
        facts["failed evaluations"] = f"{len(result.failures)}, such as {result.failures[0].message}"
    return facts


def _candidates(result: "SearchResult[Any]", metric: str) -> Grid:
    head = ["", "architecture", *(_axis(name, unit) for name, unit in result.units.items()), metric]

    def row(name: str, candidate: "Candidate[Any]") -> list[str]:
        costs = [_number(candidate.costs[cost]) for cost in result.units]
        value = candidate.metrics.get(result.metric)
        return [name, sizes_text(_sizes(candidate.architecture)), *costs, "" if value is None else f"{value:.4f}"]

    ours = {candidate.architecture for candidate in evaluated(result)}
    front = [
        row("on the front" + ("" if candidate.architecture in ours else f", by {RANDOM}"), candidate)
        for candidate in result.pareto
    ]
    return Grid(head, [row("found", result.found), row(f"best of {RANDOM}", result.random), *front])


def _front(result: "SearchResult[Any]", metric: str) -> list[Part]:
    cost, unit = next(iter(result.units.items()))
    note = "Metrics with the supernet's weights, one evaluation each: no interval."
    series, limit = front_series(result, cost), _limit(result, cost)
    return [Chart("Pareto fronts", series, _axis(cost, unit), metric, note, vertical=limit, wide=True)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _axis(cost: str, unit: str) -> str:
    return unit if _same(cost, unit) else f"{cost}, {unit}"


def _same(cost: str, unit: str) -> bool:
    return cost.lower() == unit.lower()


def _limit(result: "SearchResult[Any]", cost: str) -> dict[str, float]:
    return {"budget": result.limits[cost]} if cost in result.limits else {}


def _entropies(records: Sequence[Mapping[str, Any]]) -> list[Series]:
    """Return a line for each choice with more than one option; the entropy of others is always 0."""
    rows = [record for record in records if isinstance(record.get("entropy"), Mapping)]
    names = [name for name in (rows[0]["entropy"] if rows else ()) if any(row["entropy"][name] for row in rows)]
    return [Series(name, [(row["step"], row["entropy"][name]) for row in rows]) for name in names]


def _probabilities(result: "SearchResult[Any]") -> list[Part]:
    """Return a stacked chart for each choice: the probabilities of its options at every architecture step."""
    records, note = thinned([record for record in result.history if "probabilities" in record])
    charts: list[Part] = []
    for name, options in type(result.best).choices().items() if records else ():
        steps = [record["step"] for record in records]
        shares = list(zip(*(record["probabilities"][name] for record in records), strict=True))
        series = [
            Series(f"{option}", list(zip(steps, share, strict=True)), "area")
            for option, share in zip(options, shares, strict=True)
        ]
        if len(series) > 1:
            charts.append(Chart(name, series, "weight step", "probability", note, ends=_PROBABILITY))
    return charts


def _sizes(arch: Any) -> dict[str, Any]:
    """Return the fields and the derived sizes of an architecture."""
    sizes: dict[str, Any] = arch.model_dump(mode="json")
    for name in sizes.keys() & type(arch).choices().keys():
        if 0 in type(arch).choices()[name]:  # an index, which has no meaningful share of the largest option
            sizes[name] = str(sizes[name])
    for name in type(arch).info().properties:
        value = getattr(arch, name)
        if isinstance(value, int) or (isinstance(value, tuple) and all(isinstance(each, int) for each in value)):
            sizes[name] = value
    return sizes
