"""Plan: how far a run of several stages is as a whole."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

__all__ = ["Plan", "Whole"]

Whole: TypeAlias = Callable[[float, float], tuple[float, float]]
"""From the fraction done and the seconds left of a stage to those of the whole run."""


class Plan:
    """The stages of a run.

    Args:
        work: Expected work of each stage, in order and in one unit. What later stages take is estimated from it at the
            pace of the stage that runs, so that errors of the estimate shrink as the run goes on.
    """

    def __init__(self, work: Mapping[str, float]) -> None:
        self._work, self._seconds_per_unit = dict(work), 0.0

    def of(self, stage: str) -> Whole | None:
        """What makes the whole run's progress from that of a stage; None for a stage that was not planned."""
        return partial(self._whole, stage) if stage in self._work else None

    def _whole(self, stage: str, fraction: float, seconds_left: float) -> tuple[float, float]:
        work, position = list(self._work.values()), list(self._work).index(stage)
        own, after = work[position], sum(work[position + 1 :])
        if fraction < 1:
            self._seconds_per_unit = seconds_left / ((1 - fraction) * own)
        done = sum(work[:position]) + fraction * own
        return done / sum(work), seconds_left + after * self._seconds_per_unit
