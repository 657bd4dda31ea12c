"""Results of the matrix of runs: mean, deviation and significance over seeds."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from easrec.reproduce.figure import Figure
from easrec.reproduce.matrix import Cell
from easrec.reproduce.methods import Method
from easrec.result import RunResult
from elasticnas.errors import CheckpointError
from elasticnas.packages import require_package

__all__ = ["Measured", "best_of", "collect", "differs", "summary", "unfinished", "welch"]


@dataclass(frozen=True)
class Measured:
    """The finished runs of a method.

    Attributes:
        method: The method.
        seeds: Seeds of the finished runs.
        results: Results of these runs, in the same order.
        missing: Seeds of unfinished runs.
    """

    method: Method
    seeds: tuple[int, ...]
    results: tuple[RunResult[Any], ...]
    missing: tuple[int, ...]

    def values(self, figure: Figure) -> list[float]:
        """Return a figure for every seed."""
        return [float(figure.of(result)) for result in self.results]

    def mean(self, figure: Figure) -> float:
        """Return the mean of a figure over the seeds."""
        return statistics.mean(self.values(figure))

    def deviation(self, figure: Figure) -> float | None:
        """Return the sample standard deviation of a figure over the seeds; None for a single seed."""
        found: float | None = summary(self.values(figure))["deviation"]
        return found

    def sizes(self) -> list[str]:
        """Return ``hidden, inner, layers`` of every seed's network, with its attention if that is searched."""
        return [result.networks["found"].sizes for result in self.results]

    def warnings(self) -> list[str]:
        """Return the distinct warnings of the searches, with their seeds."""
        seeds: dict[str, list[int]] = {}
        for seed, result in zip(self.seeds, self.results, strict=True):
            for line in result.search.result.warnings if result.search else ():
                seeds.setdefault(line, []).append(seed)
        return [f"{self.method.label}, seed {', '.join(map(str, where))}: {line}" for line, where in seeds.items()]


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, sample standard deviation (None for a single value), and the values."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values), "deviation": deviation, "values": list(values)}


def collect(cells: Sequence[Cell]) -> list[Measured]:
    """Return the methods with at least one finished run, in order; unreadable results count as unfinished."""
    by_method: dict[str, list[Cell]] = {}
    for cell in cells:
        by_method.setdefault(cell.method.name, []).append(cell)
    found = []
    for several in by_method.values():
        done = [(cell.seed, result) for cell in several if (result := _result(cell)) is not None]
        if done:
            seeds = tuple(seed for seed, _ in done)
            missing = tuple(cell.seed for cell in several if cell.seed not in seeds)
            found.append(Measured(several[0].method, seeds, tuple(result for _, result in done), missing))
    return found


def unfinished(cells: Sequence[Cell]) -> tuple[dict[str, str], list[str]]:
    """Return the failed runs with their reasons, and the runs that were not started or not finished."""
    failed, waiting = {}, []
    for cell in cells:
        try:
            if cell.result() is not None:
                continue
        except CheckpointError as error:
            failed[cell.name] = str(error)
            continue
        path = cell.folder / "failed.txt"
        if path.exists():
            failed[cell.name] = path.read_text(encoding="utf-8").strip()
        else:
            waiting.append(cell.name)
    return failed, waiting


def _result(cell: Cell) -> RunResult[Any] | None:
    try:
        return cell.result()
    except CheckpointError:
        return None


def best_of(methods: Sequence[Measured], figure: Figure) -> "Measured | None":
    """Return the method with the highest mean of a figure; None if there is none."""
    return max(methods, key=lambda measured: measured.mean(figure), default=None)


def differs(one: Measured, other: Measured, figure: Figure) -> "float | None":
    """Return the p-value of the two-sided t-test with unequal variances over the seeds.

    None if a method has fewer than two seeds, or if neither varies, since the test is then undefined.

    Raises:
        PluginError: SciPy is not installed.

    Source: Welch 1947, as ``scipy.stats.ttest_ind(equal_var=False)``. The paper only says "two-sided t-test".
    """
    return welch(one.values(figure), other.values(figure))


def welch(first: Sequence[float], second: Sequence[float]) -> "float | None":
    """Return the p-value of Welch's test on two samples, see :func:`differs`."""
    if min(len(first), len(second)) < 2:
        return None
    if len(set(first)) == len(set(second)) == 1:
        return None
    stats: Any = require_package("scipy.stats", "reproduce")
    return float(stats.ttest_ind(first, second, equal_var=False).pvalue)
