"""95 % intervals of metrics over the users, for error bars."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from easrec.result import Network, Stage

__all__ = ["half_width", "interval"]

_NORMAL = 1.96  # standard errors on either side of a mean


def half_width(network: "Network[Any]", stage: "Stage", protocol: str, metric: str) -> float | None:
    """Return half the width of the interval (normal approximation); None if the run has no standard errors."""
    error = network.standard_errors.get(stage, {}).get(protocol, {}).get(metric)
    return None if error is None else _NORMAL * error


def interval(network: "Network[Any]", stage: "Stage", protocol: str, metric: str) -> tuple[float, float] | None:
    """Return the ends of the interval, clipped to 0..1."""
    half, value = half_width(network, stage, protocol, metric), network.metrics[stage][protocol][metric]
    return None if half is None else (max(0.0, value - half), min(1.0, value + half))
