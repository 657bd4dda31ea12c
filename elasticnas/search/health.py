"""What tells that a training goes wrong, or no further: losses that jump, validations that bring nothing."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from elasticnas.runtime import warn
from elasticnas.search.result import Direction

__all__ = ["Jumps", "exhausted"]

_WINDOW, _LEAST = 50, 10
_DEVIATIONS, _SHARE = 10.0, 0.5


class Jumps:
    """Warns where a loss jumps far above the median of the 50 before it.

    Far is more than ten median absolute deviations, and more than half of the median.

    Attributes:
        warnings: The lines so far.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._recent: list[float] = []
        self._high = False

    def see(self, loss: float, step: int) -> None:
        """Look at the loss of a step, counted from 1; only the first of a row of high ones is a warning."""
        recent = self._recent
        if len(recent) >= _LEAST:
            median = statistics.median(recent)
            spread = statistics.median(abs(value - median) for value in recent)
            high = loss - median > max(_DEVIATIONS * spread, _SHARE * abs(median))
            if high and not self._high:
                line = (
                    f"the loss jumped to {loss:.4g} at step {step}, from a median of {median:.4g} over the "
                    f"{len(recent)} steps before: lower the learning rate, clip gradients, or look at the batch"
                )
                self.warnings.append(line)
                warn(line)
            self._high = high
        self._recent = [*recent[1 - _WINDOW :], loss]

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"warnings": self.warnings, "recent": self._recent, "high": self._high}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where it was."""
        self.warnings, self._recent = list(state["warnings"]), list(state["recent"])
        self._high = state["high"]


def exhausted(values: Sequence[float], patience: "int | None", direction: Direction) -> bool:
    """Whether the last ``patience`` values bring nothing better than those before."""
    if patience is None or len(values) <= patience:
        return False
    best = max if direction == "maximise" else min
    return best(values) == best(values[:-patience])
