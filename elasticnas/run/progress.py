"""Progress: how far long work is."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Progress"]


@dataclass(frozen=True)
class Progress:
    """How far a run is, for a progress display.

    Attributes:
        stage: What is being done, such as ``"train"``, ``"search"`` or ``"evaluate"``.
        step: Steps and evaluations done.
        steps: All there will be, where nothing ends it early.
        figures: Of the last step: its loss, and the metrics of the last evaluation.
        seconds_left: Estimated from the pace so far.
    """

    stage: str
    step: int
    steps: int
    figures: Mapping[str, float]
    seconds_left: float
