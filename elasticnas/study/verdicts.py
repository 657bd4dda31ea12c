"""Verdicts of a study: searched networks against uniformly scaled ones, by confidence intervals."""

from typing import TYPE_CHECKING, Any, Final

from elasticnas.study.comparison import Comparison, comparisons_of
from elasticnas.study.row import SEARCHED, UNIFORM

if TYPE_CHECKING:
    from elasticnas.study.result import StudyResult

__all__ = ["VERDICTS", "caution", "verdict_cells", "verdicts"]

VERDICTS = ["FLOPs", "searched network", "test", "uniformly scaled", "difference", "95% interval", "verdict"]

_HOW: Final = {SEARCHED: "inheriting weights"}


def verdicts(result: "StudyResult[Any]") -> list[str]:
    """Return a line for each share and searched network that compares it with the uniformly scaled one on test data.

    A network with inherited weights has the advantage of the supernet's training; one from scratch does not.
    """
    rows = {(row.share, row.kind): row for row in result.rows}

    def line(each: Comparison) -> str:
        row, theirs = rows[each.share, each.kind], rows[each.share, UNIFORM]
        how = _HOW.get(each.kind, "from scratch")
        return (
            f"{100 * each.share:g}%: searched, {how}, {row.test:.4f} against {theirs.test:.4f} uniformly scaled, "
            f"{row.flops / theirs.flops:.0%} of its FLOPs; {each.describe(result.direction)}"
        )

    return [line(each) for each in comparisons_of(result)]


def verdict_cells(result: "StudyResult[Any]") -> list[list[str]]:
    """Return the same as cells of a table with the columns of :data:`VERDICTS`."""
    rows = {(row.share, row.kind): row for row in result.rows}
    return [
        [
            f"{100 * each.share:g}%",
            _HOW.get(each.kind, "from scratch"),
            f"{rows[each.share, each.kind].test:.4f}",
            f"{rows[each.share, UNIFORM].test:.4f}",
            f"{each.difference:+.4f}",
            "" if each.interval is None else f"{each.interval[0]:+.4f} to {each.interval[1]:+.4f}",
            each.verdict(result.direction),
        ]
        for each in comparisons_of(result)
    ]


def caution(result: "StudyResult[Any]") -> str:
    """Return a note on what the intervals do not cover."""
    if any(each.interval is not None for each in comparisons_of(result)):
        return (
            "The intervals are over paired test examples and hold for these trained networks, not for other seeds; "
            "each is for one comparison, without correction for their number."
        )
    return (
        "Nothing is judged: one value for each network gives no interval. Let test return one value per example, or "
        "compare several seeds with elasticnas.study.compare_over_seeds."
    )
