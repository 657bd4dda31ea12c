"""Table and Markdown page of a study, made from its result alone."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from elasticnas.report import bullets, figures_table, table
from elasticnas.report.rows import sizes_text
from elasticnas.search.result import better
from elasticnas.study.protocol import differing, protocol, record, title, tried
from elasticnas.study.verdicts import caution, verdicts

if TYPE_CHECKING:
    from elasticnas.study.result import StudyResult

__all__ = ["HEAD", "cells", "page", "show", "summary"]

HEAD = [
    "FLOPs at most",
    "network",
    "sizes",
    "MFLOPs",
    "parameters",
    "validation",
    "test",
    "95% interval",
    "steps",
    "seconds",
]


def summary(result: "StudyResult[Any]") -> Table:
    """Return a table of the trained networks for the terminal, by share of the FLOPs."""
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
    """Print the table of networks and the comparisons."""
    console.print(summary(result))
    for line in verdicts(result):
        console.print(f"\n{line}", highlight=False, markup=False)


def page(result: "StudyResult[Any]") -> str:
    """Return a Markdown page: protocol, networks, comparisons, search, settings."""
    parts = [
        f"# {title(result)}",
        bullets({**record(result), "command": f"`{result.environment['command']}`"}),
        "![Pareto plot](pareto.png)",
        protocol(result),
        table(HEAD, cells(result)),
        "\n".join(f"* {line}" for line in verdicts(result)),
        caution(result),
        "## Search",
        bullets(tried(result)),
        "## Settings that differ from the library's",
        bullets({f"`{name}`": value for name, value in differing(result).items()}) or "None.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def cells(result: "StudyResult[Any]") -> list[list[str]]:
    """Return the cells of the table of networks, with the columns of :data:`HEAD`."""
    return [
        [
            _percent(row.share),
            row.label,
            sizes_text(row.sizes),
            f"{row.flops / 1e6:.2f}",
            f"{row.params:,}",
            f"{row.validation:.4f}" + ("" if row.inherited is None else f" ({row.inherited:.4f})"),
            f"{row.test:.4f}",
            "" if row.interval is None else f"{row.interval[0]:.4f} to {row.interval[1]:.4f}",
            f"{row.steps:,}",
            f"{row.seconds:.0f}",
        ]
        for row in result.rows
    ]


def _percent(share: float) -> str:
    return f"{100 * share:g}%"
