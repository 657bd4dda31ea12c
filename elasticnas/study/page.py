"""What a study shows: a table, a page, a plot; all made from its result alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from elasticnas.report import Series, bullets, figures_table, pareto_plot, table
from elasticnas.search import Candidate, pareto
from elasticnas.search.result import better
from elasticnas.settings import differences
from elasticnas.study.row import SCRATCH, SEARCHED, UNIFORM, Kind, label

if TYPE_CHECKING:
    from elasticnas.study.result import StudyResult

__all__ = ["draw", "page", "show", "summary", "verdicts"]

_HEAD = ["FLOPs at most", "network", "sizes", "MFLOPs", "parameters", "validation", "test", "steps", "seconds"]


def summary(result: "StudyResult[Any]") -> Table:
    """The trained networks for the terminal, by share of the FLOPs."""
    head = ["FLOPs", "network", "MFLOPs", "params", "validation", "test"]
    shown = figures_table(head, f"{result.task}: {result.metric}, {better(result.direction)}; FLOPs at most", labels=2)
    share = None
    for row in result.rows:
        if share is not None and row.share != share:
            shown.add_section()
        share = row.share
        figures = f"{row.flops / 1e6:.2f}", f"{row.params:,}", f"{row.validation:.4f}", f"{row.test:.4f}"
        shown.add_row(_percent(row.share), row.label, *figures)
    return shown


def show(result: "StudyResult[Any]", console: Console) -> None:
    """Print the networks side by side, and what they say."""
    console.print(summary(result))
    for line in verdicts(result):
        console.print(f"\n{line}", highlight=False, markup=False)


def page(result: "StudyResult[Any]") -> str:
    """Markdown: how it was measured, the networks side by side, what it says, the search, the settings."""
    where, lengths, search = result.environment, result.settings, result.search
    equal = "as many passes in all as the supernet and the searched networks took"
    work = equal if lengths.scratch_steps is None else "as set"
    title = f"# {result.task}: searched networks against uniformly scaled ones"
    record = {
        "command": f"`{where['command']}`",
        "commit": where["commit"] or f"release {where['elasticnas']}",
        "seed": lengths.seed,
        "machine": f"{where['processor']}, {where['device']}, {where['threads']} threads",
        "versions": f"elasticnas {where['elasticnas']}, torch {where['torch']}, Python {where['python']}",
        "date": result.created,
    } | {name: str(fact) for name, fact in result.facts.items()}
    protocol = (
        f"Metric: {result.metric}, {better(result.direction)}. One supernet was trained for {lengths.steps:,} steps of "
        f"{lengths.passes} architecture{'s' if lengths.passes > 1 else ''} ({result.supernet.seconds:.0f} s). "
        "A searched network is the best on validation data, of those between the share of FLOPs before and its own "
        f"that the search evaluated with the supernet's weights; it inherits them and takes {lengths.tune_steps:,} "
        f"steps of its own. The others start from random weights and take {lengths.steps_from_scratch:,} steps each "
        f"({work}), with the same schedule. A uniformly scaled network has every width of the largest times one "
        "factor, the smallest with at least the FLOPs of the searched one. Test data chose nothing. In brackets: "
        "validation before training on."
    )
    tried = {
        "time": f"{search.seconds:.0f} s, {search.steps} architectures, as many by random search",
        "best on validation, any FLOPs": f"{search.found.metrics[result.metric]:.4f}",
        "likewise by random search": f"{search.random.metrics[result.metric]:.4f}",
    }
    for number, line in enumerate(search.warnings, 1):
        tried[f"warning {number}"] = line
    differing = {f"`{name}`": f"{value} (default {default})" for name, (value, default) in differences(lengths).items()}
    parts = [
        title,
        bullets(record),
        "![Pareto plot](pareto.png)",
        protocol,
        table(_HEAD, _cells(result)),
        "\n".join(f"* {line}" for line in verdicts(result)),
        "## Search",
        bullets(tried),
        "## Settings that differ from the library's",
        bullets(differing) or "None.",
    ]
    return "\n\n".join(parts) + "\n"


def verdicts(result: "StudyResult[Any]") -> list[str]:
    """One line for each share: the searched network against the uniformly scaled one on test data.

    With inherited weights it has the supernet's training behind it; both from scratch compares the architectures alone.
    """
    sign, lines = (1 if result.direction == "maximise" else -1), []
    for share in sorted({row.share for row in result.rows if row.share < 1}):
        at = {row.kind: row for row in result.rows if row.share == share}
        theirs, words = at[UNIFORM], []
        for row, how in ((at[SEARCHED], "inheriting"), (at[SCRATCH], "from scratch")):
            gain = sign * (row.test - theirs.test)
            word = "better than" if gain > 0 else "worse than" if gain < 0 else "equal to"
            words.append(f"{how} {row.test:.4f}, {word}")
        lines.append(
            f"{_percent(share)}: searched, {words[0]}, and {words[1]} uniformly scaled {theirs.test:.4f} "
            f"at {at[SEARCHED].flops / theirs.flops:.0%} of its FLOPs"
        )
    return lines


def draw(result: "StudyResult[Any]", path: "str | Path") -> None:
    """Two panels: the search on validation data, and the trained networks on test data."""
    search, metric = result.search, result.metric

    def points(candidates: Sequence[Candidate[Any]]) -> list[tuple[float, float]]:
        return [(each.costs["flops"] / 1e6, each.metrics[metric]) for each in candidates]

    def front(candidates: Sequence[Candidate[Any]]) -> list[tuple[float, float]]:
        return points(pareto(candidates, metric, result.direction))

    def trained(kind: Kind, share: float) -> Series:
        rows = [row for row in result.rows if row.kind == kind and (row.share == 1.0) == (share == 1.0)]
        return Series(label(kind, share), [(row.flops / 1e6, row.test) for row in rows])

    tried, drawn = search.tried, search.random_tried
    pareto_plot(
        {
            "Search: validation, the supernet's weights": [
                Series("NSGA-II, front", front(tried), "steps"),
                Series("random search, front", front(drawn), "steps"),
                Series("NSGA-II, evaluated", points(tried), "dots", str(len(tried))),
                Series("random search, evaluated", points(drawn), "dots", str(len(drawn))),
            ],
            "Networks taken out and trained: test": [
                *(trained(kind, 0.0) for kind in (SEARCHED, SCRATCH, UNIFORM)),
                *(trained(kind, 1.0) for kind in (SEARCHED, UNIFORM)),
            ],
        },
        path,
        cost="MFLOPs of one forward pass",
        metrics=[f"validation {metric}", f"test {metric}"],
        title=f"{result.task}: {metric} ({better(result.direction)}) against FLOPs",
    )


def _cells(result: "StudyResult[Any]") -> list[list[str]]:
    return [
        [
            _percent(row.share),
            row.label,
            _sizes(row.sizes),
            f"{row.flops / 1e6:.2f}",
            f"{row.params:,}",
            f"{row.validation:.4f}" + ("" if row.inherited is None else f" ({row.inherited:.4f})"),
            f"{row.test:.4f}",
            f"{row.steps:,}",
            f"{row.seconds:.0f}",
        ]
        for row in result.rows
    ]


def _sizes(sizes: dict[str, Any]) -> str:
    def shown(value: Any) -> str:
        return "-".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)

    return ", ".join(f"{name} {shown(value)}" for name, value in sizes.items())


def _percent(share: float) -> str:
    return f"{100 * share:g}%"
