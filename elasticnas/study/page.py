"""What a study shows: a table and a page, made from its result alone."""

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from elasticnas.report import bullets, table
from elasticnas.search.result import better
from elasticnas.study.protocol import differing, protocol, record, title, tried
from elasticnas.study.verdicts import caution, verdicts

if TYPE_CHECKING:
    from elasticnas.study.result import StudyResult

__all__ = ["HEAD", "cells", "page", "summary"]

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
    """The rows for the terminal."""
    shown = Table(
        title=escape(f"{result.task}: {result.metric}, {better(result.direction)}"),
        caption=escape("\n".join(verdicts(result))),
    )
    left_out = {"sizes", "steps", "95% interval"}
    for position, name in enumerate(HEAD):
        if name not in left_out:
            shown.add_column(name, justify="left" if position < 2 else "right", no_wrap=position < 2)
    share = None
    for row, texts in zip(result.rows, cells(result), strict=True):
        if share is not None and row.share != share:
            shown.add_section()
        share = row.share
        shown.add_row(*(cell for name, cell in zip(HEAD, texts, strict=True) if name not in left_out))
    return shown


def page(result: "StudyResult[Any]") -> str:
    """Markdown: how it was measured, the networks side by side, what it says, the search, the settings."""
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
    """What tables show of each network, as :data:`HEAD` names it."""
    return [
        [
            _percent(row.share),
            row.label,
            _sizes(row.sizes),
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


def _sizes(sizes: dict[str, Any]) -> str:
    def shown(value: Any) -> str:
        return "-".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)

    return ", ".join(f"{name} {shown(value)}" for name, value in sizes.items())


def _percent(share: float) -> str:
    return f"{100 * share:g}%"
