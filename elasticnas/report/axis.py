"""Range and label of a plot axis; the label says so if the axis does not start at 0."""

import math
from collections.abc import Callable, Iterable

from elasticnas.report.series import Interval

__all__ = ["axis_label", "axis_range"]

_MARGIN = 0.08
_LEAST = 0.05  # smallest range, as a fraction of the largest value: a smaller one would exaggerate noise


def axis_range(values: Iterable[float]) -> Interval:
    """Return the ends of an axis for some values.

    It starts at 0 if the smallest value is at most half of the largest. Otherwise it spans at least 5% of the largest
    value.

    Args:
        values: The values; those that are not finite are ignored.
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
    """Return the label of an axis, with a note if the axis does not include 0."""
    return label if ends[0] <= 0 <= ends[1] else f"{label} (axis starts at {ends[0]:.6g}, not 0)"


def _rounded(value: float, to: Callable[[float], int], span: float) -> float:
    digits = 2 - math.floor(math.log10(span))
    return round(to(value * 10.0**digits) / 10.0**digits, max(0, digits))
