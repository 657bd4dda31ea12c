"""Progress on the terminal: a bar where there is one, a line now and then where there is not."""

import time
from importlib.util import find_spec
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Stage", "Steps"]

_LINE_SECONDS = 20.0


class Steps(Protocol):
    """How far work is: steps done, of so many, and the time left."""

    @property
    def step(self) -> int:
        """Done."""

    @property
    def steps(self) -> int:
        """In all."""

    @property
    def seconds_left(self) -> float:
        """Estimated."""


class Stage:
    """Progress of one stage; a context manager.

    Args:
        console: Where it shows.
        name: Of the stage.
        transient: Leave nothing behind where there was a bar.
    """

    def __init__(self, console: Console, name: str, transient: bool = False) -> None:
        self.console, self.name = console, name
        # in a notebook rich draws bars as widgets
        self._has_bar = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)
        self._says_end = not (transient and self._has_bar)
        self._last = time.monotonic()
        self._started = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task(name, total=1.0, note="")

    def __enter__(self) -> "Stage":
        if self._has_bar:
            self._bar.start()
        else:
            self.console.print(f"{self.name} ...", highlight=False)
        return self

    def show(self, progress: Steps, note: str) -> None:
        """Show how far a run is, with a note of its figures."""
        self.update(progress.step / progress.steps, note, progress.seconds_left)

    def update(self, fraction: float, note: str, seconds_left: float) -> None:
        """Show how far the stage is.

        Args:
            fraction: 0 to 1.
            note: Loss, metric and the like.
            seconds_left: Estimated.
        """
        note = ", ".join(filter(None, [note, f"{_clock(seconds_left)} left"]))
        if self._has_bar:
            self._bar.update(self._task, completed=fraction, note=note)
        elif time.monotonic() - self._last > _LINE_SECONDS:
            self._last = time.monotonic()
            self.console.print(f"{self.name}: {fraction:.0%}, {note}", highlight=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._has_bar:
            self._bar.stop()
        if kind is None and self._says_end:
            self.console.print(f"{self.name}: done in {_clock(time.monotonic() - self._started)}", highlight=False)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
