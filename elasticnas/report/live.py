"""LiveProgress: how far a run is, on stderr, for whoever looks at a terminal or a notebook."""

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
_SHOWN = 3  # figures beside the bar


class Reported(Steps, Protocol):
    """How far work is, with the name of its stage and the figures of its last step."""

    @property
    def stage(self) -> str:
        """Its name."""

    @property
    def figures(self) -> Mapping[str, float]:
        """By name."""


def is_watched() -> bool:
    """Whether stderr is a terminal or a Jupyter kernel runs."""
    return Console(stderr=True).is_jupyter or (sys.stderr is not None and sys.stderr.isatty())


class LiveProgress:
    """A bar for one stage at a time while it is entered; a context manager that nests, as a run and its parts do.

    In a pipe, and in a notebook without ipywidgets, a line now and then takes the place of the bar.

    Attributes:
        console: Where it shows: stderr.
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
        """Show how far a stage is."""
        if self._entered == 0 or now.steps < 1:
            return
        if self._stage is None or self._stage.name != now.stage:
            self._close(None)
            self._stage, self._last = Stage(self.console, now.stage, transient=True), 0.0
            self._stage.__enter__()
        if time.monotonic() - self._last >= _REFRESH_SECONDS:  # a step may take less than drawing it does
            self._last = time.monotonic()
            self._stage.show(now, _note(now.figures))

    def _close(self, kind: type[BaseException] | None) -> None:
        if self._stage is not None:
            stage, self._stage = self._stage, None
            stage.__exit__(kind, None, None)


def _note(figures: Mapping[str, float]) -> str:
    shown = [f"{name} {compact(value)}" for name, value in figures.items() if name != "learning_rate"]
    return ", ".join(shown[:_SHOWN])
