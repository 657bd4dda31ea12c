"""95% confidence intervals of means and of paired differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elasticnas.packages import require_package
from elasticnas.report.series import Interval

__all__ = ["CONFIDENCE", "difference_interval", "mean_interval", "require_scipy"]

CONFIDENCE = 0.95
_ROUNDING = 1e-9  # relative


def require_scipy() -> Any:
    """Import ``scipy.stats``.

    Raises:
        PluginError: SciPy is not installed.
    """
    return require_package("scipy.stats", "study")


def mean_interval(values: "Sequence[float] | NDArray[np.float64]") -> Interval | None:
    """Return a 95% confidence interval of the mean.

    It is Wilson's interval if all values are 0 or 1, otherwise Student's.

    Args:
        values: One value per example, or per seed.

    Returns:
        Its ends; None for fewer than two values, or if one is not finite.

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
    """Return a 95% confidence interval of the mean of the paired differences ``ours - theirs``.

    If all values are 0 or 1, such as right and wrong answers, it is the exact interval given the number of pairs that
    differ; it excludes 0 exactly if McNemar's exact test is significant at 5%. Equal differences, such as one image
    more for each of three seeds, have no spread from which Student's interval could be computed: theirs is the exact
    interval of the sign, which excludes 0 from six values. Otherwise it is Student's.

    Args:
        ours: One value per example, or per seed.
        theirs: Values of the same examples in the same order.

    Returns:
        Its ends; None if the lengths differ, there are fewer than two values, or one is not finite.

    Raises:
        PluginError: SciPy is not installed.
    """
    stats, first, second = require_scipy(), np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if first.shape != second.shape or len(first) < 2 or not np.isfinite(first - second).all():
        return None
    if np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all():
        return _exact(stats, int((first > second).sum()), int((first < second).sum()), len(first))
    differences = first - second
    size = float(np.abs(differences).max())
    if size > 0 and np.ptp(differences) <= _ROUNDING * size:
        wins = len(differences) if differences[0] > 0 else 0
        low, high = _exact(stats, wins, len(differences) - wins, len(differences))
        return low * size, high * size
    return _student(stats, differences)


def _student(stats: Any, sample: NDArray[np.float64]) -> Interval:
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample))
    return float(sample.mean() - half), float(sample.mean() + half)


def _exact(stats: Any, better: int, worse: int, count: int) -> Interval:
    """Convert Clopper and Pearson's interval of the fraction of wins among differing pairs to a difference of means."""
    differing = better + worse
    if differing == 0:  # the largest fraction of differing pairs that gives none in ``count`` with probability 5%
        most = float(1 - (1 - CONFIDENCE) ** (1 / count))
        return -most, most
    wins = stats.binomtest(better, differing).proportion_ci(CONFIDENCE, method="exact")
    return float((2 * wins.low - 1) * differing / count), float((2 * wins.high - 1) * differing / count)
