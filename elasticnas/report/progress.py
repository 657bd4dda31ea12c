"""Progress on the terminal: a bar where there is one, a line now and then where there is not."""

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


class _Bar(Progress):
    """A bar as wide as the terminal, and a line of text above it: neither takes room from the other."""

    text = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        """The text, then the bar."""
        yield Text(self.text, overflow="fold")
        yield from super().get_renderables()


class Stage:
    """Progress of one stage; a context manager.

    Args:
        console: Where it shows.
        name: Of the stage.
        whole: Makes the progress of the whole run from that of the stage, see :class:`~elasticnas.report.Plan`; None
            where the stage is all there is.
        transient: Leave nothing behind where there was a bar.
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
        """Show how far a run is, with a note of its figures."""
        self.update(progress.step / progress.steps, note, progress.seconds_left)

    def update(self, fraction: float, note: str, seconds_left: float) -> None:
        """Show how far the stage is.

        Args:
            fraction: 0 to 1.
            note: Loss, metric and the like.
            seconds_left: Estimated.
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
