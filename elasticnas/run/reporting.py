"""Reporting: whom a run tells how far it is, a bar or a function, and in whose steps."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Literal, TypeAlias, TypeVar

from rich.console import Console

from elasticnas.errors import ConfigError
from elasticnas.report.live import LiveProgress, is_watched
from elasticnas.run.progress import Progress

__all__ = ["Reporting", "Shown", "Told"]

Told: TypeAlias = Callable[[Progress], None]
Shown: TypeAlias = Told | bool | Literal["auto"] | None
"""What progress is given to: a function; True for a bar; None or False for nobody; the bar where somebody looks."""

T = TypeVar("T")


class Reporting:
    """Tells a function, or draws a bar while it is entered; pieces of a run share the bar.

    Args:
        shown: As :class:`~elasticnas.run.Run` takes it.

    Attributes:
        live: The bar, where there is one.

    Raises:
        ConfigError: It is something else.
    """

    def __init__(self, shown: Shown) -> None:
        if not (shown is None or shown == "auto" or isinstance(shown, bool) or callable(shown)):
            raise ConfigError(
                f"progress={shown!r}: True for a bar, None for silence, 'auto', or a function that takes a Progress"
            )
        self.live = LiveProgress() if shown is True or (shown == "auto" and is_watched()) else None
        self._told: Told | None = shown if callable(shown) else None
        self._first, self._steps, self._pace = 0, 0, 0.0

    def piece(self, first: int, steps: int) -> "Reporting":
        """Of a piece that begins after so many steps of this one; 0 steps leaves their number to the piece."""
        made = Reporting(self._told)
        made.live, made._first, made._steps = self.live, self._first + first, steps or self._steps
        return made

    @property
    def console(self) -> Console:
        """Where the bar is, for an owner that shows its stages by itself; one that says nothing where there is none."""
        return Console(quiet=True) if self.live is None else self.live.console

    def __enter__(self) -> "Reporting":
        if self.live is not None:
            self.live.__enter__()
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        if self.live is not None:
            self.live.__exit__(kind, error, trace)

    def report(self, progress: Progress) -> None:
        """Show it on the bar, or tell the function."""
        counted = self._counted(progress)
        self.show(counted)
        if self._told is not None:
            self._told(counted)

    def show(self, progress: Progress) -> None:
        """Show it on the bar alone."""
        if self.live is not None:
            self.live(progress)

    def tell(self, progress: Progress) -> None:
        """Tell the function alone."""
        if self._told is not None:
            self._told(self._counted(progress))

    def watched(self, stage: str, items: Sequence[T]) -> Iterator[T]:
        """Items of work that is no step, one by one; the bar alone shows how far they are."""
        started = time.perf_counter()
        for done, item in enumerate(items, 1):
            yield item
            left = (time.perf_counter() - started) / done * (len(items) - done)
            self.show(Progress(stage, done, len(items), {}, left))

    def _counted(self, progress: Progress) -> Progress:
        """In the steps of the whole; the pace of the piece is taken for that of what follows it."""
        step, ahead = progress.step + self._first, progress.steps - progress.step
        if not self._steps:
            return replace(progress, step=step)
        self._pace = progress.seconds_left / ahead if ahead > 0 else self._pace
        return replace(progress, step=step, steps=self._steps, seconds_left=self._pace * max(0, self._steps - step))
