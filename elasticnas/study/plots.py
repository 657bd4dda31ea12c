"""Plots of a study: the search on validation data, and the trained networks on test data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticnas.report import Series, pareto_plot
from elasticnas.search.fronts import front_series
from elasticnas.search.result import better
from elasticnas.study.row import KINDS, label

if TYPE_CHECKING:
    from elasticnas.study.result import StudyResult

__all__ = ["COST", "draw", "networks"]

COST = "MFLOPs of one forward pass"


def draw(result: "StudyResult[Any]", path: "str | Path") -> None:
    """Draw both plots as a PNG file.

    Raises:
        PluginError: matplotlib is not installed.
        ElasticNASError: The file cannot be written.
    """
    metric, bars = result.metric, any(row.interval for row in result.rows)
    pareto_plot(
        {
            "Search: validation, the supernet's weights": front_series(result.search, "flops", "NSGA-II", 1e-6),
            "Networks trained: test": networks(result),
        },
        path,
        cost=COST,
        metrics=[f"validation {metric}", f"test {metric}" + (" with 95% intervals" if bars else "")],
        title=f"{result.task}: {metric} ({better(result.direction)}) against FLOPs",
    )


def networks(result: "StudyResult[Any]") -> list[Series]:
    """Return the trained networks on test data: a line for each kind, and points for the largest networks."""
    found = []
    for is_largest in (False, True):
        for kind in KINDS:
            rows = [row for row in result.rows if row.kind == kind and (row.share == 1.0) == is_largest]
            points = [(row.flops / 1e6, row.test) for row in rows]
            if points:
                name = label(kind, 1.0 if is_largest else 0.0)
                found.append(Series(name, points, method=kind, intervals=[row.interval for row in rows]))
    return found
