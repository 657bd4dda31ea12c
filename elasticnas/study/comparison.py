"""Comparison: a searched network against the uniformly scaled one at the same share of the FLOPs."""

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elasticnas.errors import ConfigError
from elasticnas.record import Record
from elasticnas.report import difference_interval
from elasticnas.study.row import UNIFORM, Kind, Row

if TYPE_CHECKING:
    from elasticnas.study.result import StudyResult

__all__ = ["Comparison", "compare_over_seeds", "compared", "comparisons_of"]

Verdict: TypeAlias = Literal["better", "worse", "no difference shown", "not judged: one value each"]


class Comparison(Record):
    """A network's test metric minus that of the uniformly scaled network at its share.

    Attributes:
        share: Of the largest network's FLOPs, at most.
        kind: Of the network: searched and inheriting weights, or searched and from scratch.
        difference: Of the test metrics.
        interval: 95 % interval of the difference over paired test examples, or over paired seeds; None without these.
        over: What the interval is over.
        count: How many of them.
    """

    share: float
    kind: Kind
    difference: float
    interval: tuple[float, float] | None = None
    over: Literal["test examples", "seeds"] = "test examples"
    count: int = 0

    def verdict(self, direction: str) -> Verdict:
        """``better`` or ``worse`` only where the interval leaves 0 out.

        Args:
            direction: ``maximise`` or ``minimise``.
        """
        if self.interval is None:
            return "not judged: one value each"
        low, high = self.interval
        if low <= 0 <= high:
            return "no difference shown"
        return "better" if (low > 0) == (direction == "maximise") else "worse"

    def said(self, direction: str) -> str:
        """Difference, interval and verdict in words."""
        text = f"difference {self.difference:+.4f}"
        if self.interval is not None:
            low, high = self.interval
            text += f", 95% interval {low:+.4f} to {high:+.4f} over {self.count:,} {self.over}"
        return f"{text}: {self.verdict(direction)}"


def compared(row: Row, theirs: Row, values: "dict[Kind, NDArray[np.float64]]") -> Comparison:
    """A row against the uniformly scaled one.

    Args:
        row: The searched network.
        theirs: The uniformly scaled one.
        values: By kind of row, the test metric of each test example; kinds without are not judged.
    """
    plain = Comparison(share=row.share, kind=row.kind, difference=row.test - theirs.test)
    ours, others = values.get(row.kind), values.get(UNIFORM)
    if ours is None or others is None:
        return plain
    return plain.model_copy(update={"interval": difference_interval(ours, others), "count": len(ours)})


def comparisons_of(result: "StudyResult[Any]") -> list[Comparison]:
    """Those of a result, in order of the shares; without an interval where it has none."""
    known = {(each.share, each.kind): each for each in result.comparisons}
    rows = {(row.share, row.kind): row for row in result.rows if row.share < 1}
    return [
        known.get((share, kind)) or compared(row, rows[share, UNIFORM], {})
        for (share, kind), row in rows.items()
        if kind != UNIFORM
    ]


def compare_over_seeds(results: "Sequence[StudyResult[Any]]") -> tuple[Comparison, ...]:
    """Comparisons of one study that was run with several seeds, with intervals over the seeds.

    Each seed gives one difference per share and kind of network; the interval is Student's.

    Args:
        results: Of the same task and metric, one for each seed.

    Returns:
        One for each share and kind that all results have.

    Raises:
        ConfigError: Fewer than two results, of one seed, or of different studies.
        PluginError: SciPy is not installed.
    """
    _require_seeds(results)
    rows = [{(row.share, row.kind): row.test for row in result.rows} for result in results]
    found = []
    for share, kind in rows[0]:
        if share == 1 or kind == UNIFORM or not all((share, kind) in each for each in rows):
            continue
        ours, theirs = [each[share, kind] for each in rows], [each[share, UNIFORM] for each in rows]
        found.append(
            Comparison(
                share=share,
                kind=kind,
                difference=mean(ours) - mean(theirs),
                interval=difference_interval(ours, theirs),
                over="seeds",
                count=len(results),
            )
        )
    return tuple(found)


def _require_seeds(results: "Sequence[StudyResult[Any]]") -> None:
    seeds = [result.settings.seed for result in results]
    if len(results) < 2 or len(set(seeds)) < len(seeds):
        raise ConfigError(f"comparing over seeds needs results of two seeds or more, each of another one, got {seeds}")
    same = {
        (result.task, result.metric, result.direction, result.settings.model_copy(update={"seed": 0}).model_dump_json())
        for result in results
    }
    if len(same) > 1:
        raise ConfigError("results of different tasks, metrics or settings cannot be compared over seeds")
