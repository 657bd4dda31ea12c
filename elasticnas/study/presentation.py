"""Presentation of a study's result in Python: brief and table rows."""

from typing import TYPE_CHECKING, Any

from elasticnas.report.brief import Brief
from elasticnas.report.numbers import compact, counted
from elasticnas.report.rows import Row, flat, row
from elasticnas.search.result import better
from elasticnas.study.row import SCRATCH, SEARCHED, UNIFORM, Kind

if TYPE_CHECKING:
    from elasticnas.study.result import StudyResult

__all__ = ["brief", "rows"]

_COLUMNS: dict[Kind, str] = {SEARCHED: "searched, inheriting", SCRATCH: "from scratch", UNIFORM: "scaled uniformly"}


def brief(result: "StudyResult[Any]") -> Brief:
    """Return the test metric of every kind of network at every share of the FLOPs, with notes on the search."""
    at = {(each.share, each.kind): each for each in result.rows}
    lines = []
    for share in sorted({each.share for each in result.rows}):
        cells = [f"{at[share, kind].test:.4f}" if (share, kind) in at else "-" for kind in _COLUMNS]
        lines.append([f"{100 * share:g}% of the FLOPs" if share < 1 else "largest network", *cells])
    seconds = result.supernet.seconds + result.search.seconds + sum(each.seconds for each in result.rows)
    title = f"{result.task}: test {result.metric}, {better(result.direction)}; {seconds:.0f} s"
    search, metric = result.search, result.metric
    found, random = (each.metrics[metric] for each in (search.found, search.random))
    notes = [
        ("largest", f"{compact(result.largest_flops)} FLOPs"),
        (
            "search",
            f"{counted(search.evaluated, 'architecture')} evaluated, {len(search.failures)} failed; best validation "
            f"{metric} {found:.4f}, by random search {random:.4f}",
        ),
        *[("warning", line) for line in search.warnings[:1]],
    ]
    return Brief(title, ["", *_COLUMNS.values()], lines, notes)


def rows(result: "StudyResult[Any]") -> list[Row]:
    """Return a row for each trained network."""
    return [
        row(
            result={"kind": each.kind, "share": each.share},
            sizes=flat(each.sizes),
            measured=each.model_dump(mode="json", exclude={"kind", "share", "sizes"}),
        )
        for each in result.rows
    ]
