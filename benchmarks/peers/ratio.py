"""Ratios of paired times with bootstrap intervals, and samples scaled to the whole."""

import random
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Ratio", "ratio", "scaled"]

_DRAWS = 10_000


class Ratio(NamedTuple):
    """How many times as long, with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Total of theirs by total of ours; the interval draws whole rounds, both sides of each together.

    Args:
        theirs: Seconds of every round.
        ours: Likewise, of the same rounds.
    """
    rounds, rng = list(zip(theirs, ours, strict=True)), random.Random(0)
    drawn = sorted(_of_totals(rng.choices(rounds, k=len(rounds))) for _ in range(_DRAWS))
    return Ratio(_of_totals(rounds), drawn[round(0.025 * (_DRAWS - 1))], drawn[round(0.975 * (_DRAWS - 1))])


def _of_totals(rounds: Sequence[tuple[float, float]]) -> float:
    return sum(theirs for theirs, _ in rounds) / sum(ours for _, ours in rounds)


def scaled(seconds: float, done: int, whole: int) -> float:
    """Seconds for the whole, as ``done`` of its parts took ``seconds``."""
    return seconds * whole / done
