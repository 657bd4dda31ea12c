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

__all__ = ["Comparison", "compare", "compare_over_seeds", "comparisons_of"]

Verdict: TypeAlias = Literal["better", "worse", "no difference shown", "not judged: one value each"]


class Comparison(Record):
    """The test metric of a searched network minus that of the uniformly scaled network at the same share.

    Attributes:
        share: Share of the largest network's FLOPs.
        kind: Kind of the network: searched and inheriting weights, or searched and from scratch.
        difference: Difference of the test metrics.
        interval: 95% confidence interval of the difference; None with one value per network.
        over: Whether the interval is over paired test examples or paired seeds.
        count: Number of test examples or seeds.
    """

    share: float
    kind: Kind
    difference: float
    interval: tuple[float, float] | None = None
    over: Literal["test examples", "seeds"] = "test examples"
    count: int = 0

    def verdict(self, direction: str) -> Verdict:
        """Return the verdict; it is ``better`` or ``worse`` only if the interval excludes 0.

        Args:
            direction: ``maximise`` or ``minimise``.
        """
        if self.interval is None:
            return "not judged: one value each"
        low, high = self.interval
        if low <= 0 <= high:
            return "no difference shown"
        return "better" if (low > 0) == (direction == "maximise") else "worse"

    def describe(self, direction: str) -> str:
        """Return difference, interval and verdict as text."""
        text = f"difference {self.difference:+.4f}"
        if self.interval is not None:
            low, high = self.interval
            text += f", 95% interval {low:+.4f} to {high:+.4f} over {self.count:,} {self.over}"
        return f"{text}: {self.verdict(direction)}"


def compare(row: Row, theirs: Row, values: "dict[Kind, NDArray[np.float64]]") -> Comparison:
    """Compare a searched network with the uniformly scaled one.

    Args:
        row: The searched network.
        theirs: The uniformly scaled network.
        values: Test metric of each test example, by kind of network; without them there is no verdict.
    """
    plain = Comparison(share=row.share, kind=row.kind, difference=row.test - theirs.test)
    ours, others = values.get(row.kind), values.get(UNIFORM)
    if ours is None or others is None:
        return plain
    return plain.model_copy(update={"interval": difference_interval(ours, others), "count": len(ours)})


def comparisons_of(result: "StudyResult[Any]") -> list[Comparison]:
    """Return the comparisons of a result, in order of the shares."""
    known = {(each.share, each.kind): each for each in result.comparisons}
    rows = {(row.share, row.kind): row for row in result.rows if row.share < 1}
    return [
        known.get((share, kind)) or compare(row, rows[share, UNIFORM], {})
        for (share, kind), row in rows.items()
        if kind != UNIFORM
    ]


def compare_over_seeds(results: "Sequence[StudyResult[Any]]") -> tuple[Comparison, ...]:
    """Compare the networks of a study over several seeds, with Student's intervals over the seeds.

    Args:
        results: Results of the same study, one for each seed.

    Returns:
        A comparison for each share and kind that all results have.

    Raises:
        ConfigError: There are fewer than two results, two have the same seed, or they are of different studies.
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
        raise ConfigError(f"comparing over seeds needs at least two results with different seeds, got seeds {seeds}")
    same = {
        (result.task, result.metric, result.direction, result.settings.model_copy(update={"seed": 0}).model_dump_json())
        for result in results
    }
    if len(same) > 1:
        raise ConfigError("results of different tasks, metrics or settings cannot be compared over seeds")
