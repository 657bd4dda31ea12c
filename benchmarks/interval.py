"""An interval for a figure made of medians, by the bootstrap over the rounds."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["interval", "ratio"]

_DRAWS, _LEVEL = 2000, 0.95


def interval(figure: Callable[..., Any], *forms: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """``figure`` of the forms' medians, with its 95 % percentile interval.

    Rounds are drawn with replacement, the same for all forms, as what disturbs a round disturbs all of them.

    Args:
        figure: From one median for each form; it is called with arrays too.
        forms: ``(rounds,)`` times of each form; round i of all of them ran together.
        seed: The same seed gives the same interval.

    Returns:
        The figure, the interval's low and high end.

    Raises:
        ValueError: There is no round, or the forms have different numbers of rounds.
    """
    rounds = {len(times) for times in forms}
    if len(rounds) != 1 or min(rounds) < 1:
        raise ValueError(f"every form needs the same rounds, at least one: got {[len(times) for times in forms]}")
    times = np.asarray(forms, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(times.shape[1], size=(_DRAWS, times.shape[1]))
    resampled = figure(*np.median(times[:, drawn], axis=2))
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(figure(*np.median(times, axis=1))), float(low), float(high)


def ratio(above: Sequence[float], below: Sequence[float]) -> tuple[float, float, float]:
    """Median of one form over the median of another, with its interval."""
    return interval(lambda a, b: a / b, above, below)
