"""What tells that a training goes wrong, or no further: losses that jump, validations that bring nothing."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from elasticnas.runtime import warn
from elasticnas.search.result import Direction

__all__ = ["Jumps", "exhausted"]

_WINDOW, _LEAST, _ROW = 50, 10, 3
_DEVIATIONS, _SHARE = 10.0, 0.5


class Jumps:
    """Warns where three losses in a row are far above the 50 before them: one alone may be an odd batch.

    Far is above all of them, and above their median by more than ten median absolute deviations and half of it.

    Attributes:
        warnings: The lines so far.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._recent: list[float] = []
        self._high = 0  # of the most recent, how many in a row are far above

    def see(self, loss: float, step: int) -> None:
        """Look at the loss of a step, counted from 1; only the third of a row of high ones is a warning."""
        before = self._recent[: len(self._recent) - self._high]
        self._high = self._high + 1 if len(before) >= _LEAST and _far_above(loss, before) else 0
        self._recent = [*self._recent[1 - _WINDOW :], loss]
        if self._high == _ROW:
            line = (
                f"the loss jumped to {self._recent[-_ROW]:.4g} at step {step - _ROW + 1}, from a median of "
                f"{statistics.median(before):.4g} over the {len(before)} steps before: lower the learning rate, clip "
                "gradients, or look at the batch"
            )
            self.warnings.append(line)
            warn(line)

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"warnings": self.warnings, "recent": self._recent, "high": self._high}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where it was."""
        self.warnings, self._recent = list(state["warnings"]), list(state["recent"])
        self._high = state["high"]


def _far_above(loss: float, before: Sequence[float]) -> bool:
    median = statistics.median(before)
    spread = statistics.median(abs(value - median) for value in before)
    return loss > max(before) and loss - median > max(_DEVIATIONS * spread, _SHARE * abs(median))


def exhausted(values: Sequence[float], patience: "int | None", direction: Direction) -> bool:
    """Whether the last ``patience`` values bring nothing better than those before."""
    if patience is None or len(values) <= patience:
        return False
    best = max if direction == "maximise" else min
    return best(values) == best(values[:-patience])
