"""Progress on a console: a bar in a terminal, occasional lines elsewhere."""

import time
from collections.abc import Iterator
from importlib.util import find_spec
from types import TracebackType
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from elasticnas.report.plan import Whole

__all__ = ["Stage", "Steps"]

_LINE_SECONDS = 20.0


class Steps(Protocol):
    """Progress of work in steps."""

    @property
    def step(self) -> int:
        """Number of steps so far."""

    @property
    def steps(self) -> int:
        """Total number of steps."""

    @property
    def seconds_left(self) -> float:
        """Estimated remaining time."""


class _Bar(Progress):
    """A bar as wide as the terminal, with a line of text above it."""

    text = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        """Yield the text, then the bar."""
        yield Text(self.text, overflow="fold")
        yield from super().get_renderables()


class Stage:
    """Progress of one stage; a context manager.

    Args:
        console: The console.
        name: Name of the stage.
        whole: Function from the stage's progress to that of the whole run, see :class:`~elasticnas.report.Plan`; None
            for a single stage.
        transient: Remove the bar at the end without a final line.
    """

    def __init__(self, console: Console, name: str, whole: Whole | None = None, transient: bool = False) -> None:
        self.console, self.name, self.whole = console, name, whole
        # in a notebook rich draws bars as widgets
        self._has_bar = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)
        self._says_end = not (transient and self._has_bar)
        self._last = time.monotonic()
        self._started = time.monotonic()
        columns = (
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[left]}"),
        )
        self._bar = _Bar(*columns, console=console, transient=True, expand=True)
        self._bar.text = name
        self._task = self._bar.add_task(name, total=1.0, left="")

    def __enter__(self) -> "Stage":
        if self._has_bar:
            self._bar.start()
        else:
            self.console.print(f"{self.name} ...", highlight=False)
        return self

    def show(self, progress: Steps, note: str) -> None:
        """Show the progress of a run, with a note on its figures."""
        self.update(progress.step / progress.steps, note, progress.seconds_left)

    def update(self, fraction: float, note: str, seconds_left: float) -> None:
        """Show the progress of the stage.

        Args:
            fraction: Fraction done, 0 to 1.
            note: Figures such as loss and metric, as text.
            seconds_left: Estimated remaining time.
        """
        ratio, seconds = (fraction, seconds_left) if self.whole is None else self.whole(fraction, seconds_left)
        left = f"{_clock(seconds)} left{'' if self.whole is None else ' in all'}"
        text = ", ".join(filter(None, [f"{self.name}: {fraction:.0%}", note]))
        if self._has_bar:
            self._bar.text = text
            self._bar.update(self._task, completed=ratio, left=left)
        elif time.monotonic() - self._last > _LINE_SECONDS:
            self._last = time.monotonic()
            self.console.print(f"{text}, {left}", highlight=False, markup=False)

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
