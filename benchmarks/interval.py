"""Bootstrap intervals over rounds, for figures computed from medians."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["interval", "ratio"]

_DRAWS, _LEVEL = 2000, 0.95


def interval(figure: Callable[..., Any], *forms: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Return ``figure`` of the forms' medians, with its 95 % percentile interval.

    Rounds are resampled with replacement, the same for all forms, because a disturbance affects all forms of a round.

    Args:
        figure: Function of one median per form; also called with arrays.
        forms: ``(rounds,)`` times of each form; round i of all forms ran together.
        seed: The same seed gives the same interval.

    Returns:
        The figure, and the low and high end of the interval.

    Raises:
        ValueError: Fewer than one round, or different numbers of rounds.
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
    """Return the ratio of the medians of two forms, with its interval."""
    return interval(lambda a, b: a / b, above, below)
