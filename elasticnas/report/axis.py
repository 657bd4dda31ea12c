"""Where an axis of metrics starts and ends: at 0 where that shows the differences, else it says that it does not."""

import math
from collections.abc import Callable, Iterable

from elasticnas.report.series import Interval

__all__ = ["axis_label", "axis_range"]

_MARGIN = 0.08
_LEAST = 0.05  # of the largest value: a smaller range would make noise look like a difference


def axis_range(values: Iterable[float]) -> Interval:
    """The ends of an axis that holds some values.

    It starts at 0 where the smallest value is at most half of the largest. Elsewhere it is cut, and spans at least a
    twentieth of the largest value.

    Args:
        values: Those that are not finite are left out.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if 0 <= low <= high / 2:
        return 0.0, (high or 1.0) * (1 + _MARGIN)
    least = _LEAST * max(abs(low), abs(high))
    if (missing := least - (high - low)) > 0:
        low, high = low - missing / 2, high + missing / 2
    margin = _MARGIN * (high - low)
    return _rounded(low - margin, math.floor, high - low), _rounded(high + margin, math.ceil, high - low)


def axis_label(label: str, ends: Interval) -> str:
    """The label of an axis, which says so where the axis leaves 0 out."""
    return label if ends[0] <= 0 <= ends[1] else f"{label} (axis starts at {ends[0]:.6g}, not 0)"


def _rounded(value: float, to: Callable[[float], int], span: float) -> float:
    digits = 2 - math.floor(math.log10(span))
    return round(to(value * 10.0**digits) / 10.0**digits, max(0, digits))
