"""LiveProgress: progress of a run on stderr, in a terminal or a notebook."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from rich.console import Console

from elasticnas.report.numbers import compact
from elasticnas.report.progress import Stage, Steps

__all__ = ["LiveProgress", "Reported", "is_watched"]

_REFRESH_SECONDS = 0.1
_SHOWN = 3  # most figures shown with the bar


class Reported(Steps, Protocol):
    """Progress of work, with the name of its stage and the figures of its last step."""

    @property
    def stage(self) -> str:
        """Name of the stage."""

    @property
    def figures(self) -> Mapping[str, float]:
        """Figures of the last step by name."""


def is_watched() -> bool:
    """Return whether stderr is a terminal or a Jupyter kernel runs."""
    return Console(stderr=True).is_jupyter or (sys.stderr is not None and sys.stderr.isatty())


class LiveProgress:
    """A bar for one stage at a time; a reentrant context manager.

    In a pipe, and in a notebook without ipywidgets, it prints occasional lines instead of a bar.

    Attributes:
        console: The console on stderr.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self._entered, self._last = 0, 0.0
        self._stage: Stage | None = None

    def __enter__(self) -> "LiveProgress":
        self._entered += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        if self._entered == 0:
            self._close(kind)

    def __call__(self, now: Reported) -> None:
        """Show the progress of a stage."""
        if self._entered == 0 or now.steps < 1:
            return
        if self._stage is None or self._stage.name != now.stage:
            self._close(None)
            self._stage, self._last = Stage(self.console, now.stage, transient=True), 0.0
            self._stage.__enter__()
        if time.monotonic() - self._last >= _REFRESH_SECONDS:  # drawing may take longer than a step
            self._last = time.monotonic()
            self._stage.show(now, _note(now.figures))

    def _close(self, kind: type[BaseException] | None) -> None:
        if self._stage is not None:
            stage, self._stage = self._stage, None
            stage.__exit__(kind, None, None)


def _note(figures: Mapping[str, float]) -> str:
    shown = [f"{name} {compact(value)}" for name, value in figures.items() if name != "learning_rate"]
    return ", ".join(shown[:_SHOWN])
