"""Plan: progress of a run with several stages."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

__all__ = ["Plan", "Whole"]

Whole: TypeAlias = Callable[[float, float], tuple[float, float]]
"""Function from the fraction done and the seconds left of a stage to those of the whole run."""


class Plan:
    """The stages of a run and their expected work.

    The time of later stages is estimated from their work and the pace of the current stage.

    Args:
        work: Expected work of each stage, in order, in any common unit.
    """

    def __init__(self, work: Mapping[str, float]) -> None:
        self._work, self._seconds_per_unit = dict(work), 0.0

    def of(self, stage: str) -> Whole | None:
        """Return the function from a stage's progress to that of the whole run; None for a stage not in the plan."""
        return partial(self._whole, stage) if stage in self._work else None

    def _whole(self, stage: str, fraction: float, seconds_left: float) -> tuple[float, float]:
        work, position = list(self._work.values()), list(self._work).index(stage)
        own, after = work[position], sum(work[position + 1 :])
        if fraction < 1:
            self._seconds_per_unit = seconds_left / ((1 - fraction) * own)
        done = sum(work[:position]) + fraction * own
        return done / sum(work), seconds_left + after * self._seconds_per_unit
