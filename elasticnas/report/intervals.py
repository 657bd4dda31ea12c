"""95 % intervals of means and of paired differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elasticnas.packages import require_package
from elasticnas.report.series import Interval

__all__ = ["CONFIDENCE", "difference_interval", "mean_interval", "require_scipy"]

CONFIDENCE = 0.95


def require_scipy() -> Any:
    """``scipy.stats``.

    Raises:
        PluginError: SciPy is not installed.
    """
    return require_package("scipy.stats", "study")


def mean_interval(values: "Sequence[float] | NDArray[np.float64]") -> Interval | None:
    """A 95 % interval of the mean.

    Args:
        values: One per example, or per seed. Where all are 0 or 1, the interval is Wilson's, else Student's.

    Returns:
        Its ends; None for fewer than two values, or where one is not finite.

    Raises:
        PluginError: SciPy is not installed.
    """
    stats, sample = require_scipy(), np.asarray(values, dtype=np.float64)
    if len(sample) < 2 or not np.isfinite(sample).all():
        return None
    if np.isin(sample, (0.0, 1.0)).all():
        found = stats.binomtest(int(sample.sum()), len(sample)).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)
    return _student(stats, sample)


def difference_interval(
    ours: "Sequence[float] | NDArray[np.float64]", theirs: "Sequence[float] | NDArray[np.float64]"
) -> Interval | None:
    """A 95 % interval of the mean of the paired differences ``ours - theirs``.

    Where all values are 0 or 1, such as right and wrong answers, it is the exact interval given the number of pairs
    that differ, and holds 0 just where the exact test of McNemar finds nothing at 5 %. Elsewhere it is Student's.

    Args:
        ours: One value per example, or per seed.
        theirs: Of the same examples in the same order.

    Returns:
        Its ends; None where the two are of different lengths, fewer than two, or not finite.

    Raises:
        PluginError: SciPy is not installed.
    """
    stats, first, second = require_scipy(), np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if first.shape != second.shape or len(first) < 2 or not np.isfinite(first - second).all():
        return None
    if np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all():
        return _exact(stats, int((first > second).sum()), int((first < second).sum()), len(first))
    return _student(stats, first - second)


def _student(stats: Any, sample: NDArray[np.float64]) -> Interval:
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample))
    return float(sample.mean() - half), float(sample.mean() + half)


def _exact(stats: Any, better: int, worse: int, count: int) -> Interval:
    """Clopper and Pearson's interval of the share of wins among pairs that differ, as a difference of the means."""
    differing = better + worse
    if differing == 0:  # as few as none may differ: the largest share that gives none in so many with 5 %
        most = float(1 - (1 - CONFIDENCE) ** (1 / count))
        return -most, most
    wins = stats.binomtest(better, differing).proportion_ci(CONFIDENCE, method="exact")
    return float((2 * wins.low - 1) * differing / count), float((2 * wins.high - 1) * differing / count)
