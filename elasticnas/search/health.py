"""Signs that a training diverges or no longer improves: jumps of the loss, validations without improvement."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from elasticnas.runtime import warn
from elasticnas.search.result import Direction

__all__ = ["Jumps", "exhausted"]

_WINDOW, _MIN_WINDOW, _IN_A_ROW = 50, 10, 3
_DEVIATIONS, _FRACTION = 10.0, 0.5


class Jumps:
    """Warns if three losses in a row are far above the 50 before them; a single one may be an unusual batch.

    A loss is far above if it exceeds all of them, and their median by more than ten median absolute deviations and by
    more than half the median.

    Attributes:
        warnings: The warnings so far.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._recent: list[float] = []
        self._high = 0  # number of latest losses in a row that are far above

    def see(self, loss: float, step: int) -> None:
        """Check the loss of a step, counted from 1; warn once at the third high loss in a row."""
        before = self._recent[: len(self._recent) - self._high]
        self._high = self._high + 1 if len(before) >= _MIN_WINDOW and _far_above(loss, before) else 0
        self._recent = [*self._recent[1 - _WINDOW :], loss]
        if self._high == _IN_A_ROW:
            line = (
                f"the loss jumped to {self._recent[-_IN_A_ROW]:.4g} at step {step - _IN_A_ROW + 1}, from a median of "
                f"{statistics.median(before):.4g} over the {len(before)} steps before: lower the learning rate, clip "
                "gradients, or look at the batch"
            )
            self.warnings.append(line)
            warn(line)

    def state_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"warnings": self.warnings, "recent": self._recent, "high": self._high}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state."""
        self.warnings, self._recent = list(state["warnings"]), list(state["recent"])
        self._high = state["high"]


def _far_above(loss: float, before: Sequence[float]) -> bool:
    median = statistics.median(before)
    spread = statistics.median(abs(value - median) for value in before)
    return loss > max(before) and loss - median > max(_DEVIATIONS * spread, _FRACTION * abs(median))


def exhausted(values: Sequence[float], patience: "int | None", direction: Direction) -> bool:
    """Return whether none of the last ``patience`` values improves on the values before."""
    if patience is None or len(values) <= patience:
        return False
    best = max if direction == "maximise" else min
    return best(values) == best(values[:-patience])
