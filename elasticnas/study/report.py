"""Report of a study: networks, search, training, data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticnas.report import Report, Series
from elasticnas.report.html import (
    Chart,
    Drawing,
    Facts,
    Grid,
    Part,
    Section,
    Text,
    curves,
    read_metrics,
    thinned,
)
from elasticnas.search.report import search_sections
from elasticnas.study.page import HEAD, cells
from elasticnas.study.plots import COST, networks
from elasticnas.study.protocol import differing, protocol, record, title
from elasticnas.study.row import SEARCHED
from elasticnas.study.verdicts import VERDICTS, caution, verdict_cells

if TYPE_CHECKING:
    from elasticnas.study.result import StudyResult

__all__ = ["study_report"]


def study_report(result: "StudyResult[Any]", folder: Path | None = None) -> Report:
    """Return the report of a study.

    Args:
        result: Result of the study.
        folder: Folder of its run, to show the losses of every step; None leaves them out.
    """
    sections = [
        Section("What was found", [Grid(VERDICTS, verdict_cells(result)), Text(caution(result)), _accuracy(result)]),
        Section("Networks", [Grid(HEAD, cells(result)), Text(protocol(result))]),
        Section("Searched architectures", _drawings(result)),
        *search_sections(result.search, None, "validation"),
        Section("Training", _training(result, folder)),
        Section("Data", [Facts(result.facts)] if result.facts else []),
        Section("How it was made", [Facts({**record(result), **differing(result)})], folded=True),
    ]
    return Report(title(result), sections)


def _accuracy(result: "StudyResult[Any]") -> Chart:
    examples = max((row.examples for row in result.rows), default=0)
    note = f"Error bars: 95% intervals over {examples:,} test examples, of one training each."
    series = networks(result)
    without = "No error bars: one value for each network."
    return Chart(
        f"Test {result.metric} against FLOPs",
        series,
        COST,
        f"test {result.metric}",
        note if any(row.interval for row in result.rows) else without,
        wide=True,
    )


def _drawings(result: "StudyResult[Any]") -> list[Part]:
    largest = next((row.sizes for row in result.rows if row.share == 1.0), {})
    searched = [row for row in result.rows if row.kind == SEARCHED and row.share < 1]
    return [Drawing(f"At most {100 * row.share:g}% of the FLOPs", row.sizes, largest) for row in searched]


def _training(result: "StudyResult[Any]", folder: Path | None) -> list[Part]:
    """Return charts of the supernet's loss, and of the losses of the networks at each share."""
    if folder is None:
        return []
    records, note = thinned(read_metrics(folder / "supernet" / "metrics.jsonl"))
    charts = [Chart("Supernet", curves(records, {"loss": "training loss"}), "step", "loss", note)]
    for share in dict.fromkeys(row.share for row in result.rows):
        lines: list[Series] = []
        for row in result.rows:
            if row.share == share:
                kept, note = thinned(read_metrics(folder / "rows" / f"{100 * share:g}-{row.kind}" / "metrics.jsonl"))
                lines += curves(kept, {"loss": row.label})
        charts.append(Chart(f"{100 * share:g}% of the FLOPs", lines, "step", "training loss", note))
    return [chart for chart in charts if chart.series]
