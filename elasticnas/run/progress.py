"""Progress: report of the progress of long work."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Progress"]


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes:
        stage: Name of the stage, such as ``"train"``, ``"search"`` or ``"evaluate"``.
        step: Number of steps and evaluations so far.
        steps: Total number, if nothing ends the work earlier.
        figures: Loss of the last step, and metrics of the last evaluation.
        seconds_left: Estimated remaining time.
    """

    stage: str
    step: int
    steps: int
    figures: Mapping[str, float]
    seconds_left: float
