"""Figures of a matrix: mean, deviation and significance over its seeds."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from easrec.reproduce.matrix import Cell
from easrec.reproduce.methods import Method
from elasticnas.errors import PluginError

__all__ = ["Measured", "best_of", "collect", "differs"]


@dataclass(frozen=True)
class Measured:
    """All finished seeds of a method.

    Attributes:
        method: The method.
        seeds: That finished.
        results: Their ``result.json``, in the same order.
        missing: Seeds that did not.
    """

    method: Method
    seeds: tuple[int, ...]
    results: tuple[dict[str, Any], ...]
    missing: tuple[int, ...]

    def values(self, key: str) -> list[float]:
        """A figure of every seed, such as ``found/test/pop100/ndcg@10``."""
        return [float(result[key]) for result in self.results]

    def mean(self, key: str) -> float:
        """Over the seeds."""
        return statistics.mean(self.values(key))

    def deviation(self, key: str) -> float | None:
        """Sample standard deviation over the seeds; None for a single one."""
        values = self.values(key)
        return statistics.stdev(values) if len(values) > 1 else None

    def sizes(self) -> list[str]:
        """``hidden, inner, layers`` of every seed's network."""
        found = [result["found/architecture"] for result in self.results]
        return [f"{a['hidden']}, {a['inner']}, {a['depth']}" for a in found]


def collect(cells: Sequence[Cell]) -> list[Measured]:
    """Methods with at least one finished seed, in order."""
    by_method: dict[str, list[Cell]] = {}
    for cell in cells:
        by_method.setdefault(cell.method.name, []).append(cell)
    found = []
    for several in by_method.values():
        done = [(cell.seed, result) for cell in several if (result := cell.result()) is not None]
        if done:
            seeds = tuple(seed for seed, _ in done)
            missing = tuple(cell.seed for cell in several if cell.seed not in seeds)
            found.append(Measured(several[0].method, seeds, tuple(result for _, result in done), missing))
    return found


def best_of(methods: Sequence[Measured], key: str) -> "Measured | None":
    """The one with the highest mean."""
    return max(methods, key=lambda measured: measured.mean(key), default=None)


def differs(one: Measured, other: Measured, key: str) -> "float | None":
    """p of the two-sided t-test with unequal variances over the seeds; None with fewer than two seeds each.

    Raises:
        PluginError: SciPy is not installed.

    Source: Welch 1947, as ``scipy.stats.ttest_ind(equal_var=False)``. The paper says "two-sided t-test" and no more.
    """
    first, second = one.values(key), other.values(key)
    if min(len(first), len(second)) < 2:
        return None
    if len(set(first)) == len(set(second)) == 1:
        return 0.0 if first[0] != second[0] else 1.0
    try:
        from scipy.stats import ttest_ind
    except ModuleNotFoundError:
        raise PluginError("scipy is not installed; pip install 'elasticnas[reproduce]'") from None
    return float(ttest_ind(first, second, equal_var=False).pvalue)
