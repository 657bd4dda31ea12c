"""Reporting: progress of a run to a bar or a function."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Literal, TypeAlias, TypeVar

from rich.console import Console

from elasticnas.errors import ConfigError
from elasticnas.report.live import LiveProgress, is_watched
from elasticnas.run.progress import Progress

__all__ = ["ProgressFunction", "ProgressOption", "Reporting"]

ProgressFunction: TypeAlias = Callable[[Progress], None]
ProgressOption: TypeAlias = ProgressFunction | bool | Literal["auto"] | None
"""Function that gets the progress; True for a bar; None or False for silence; "auto" for a bar in a terminal."""

T = TypeVar("T")


class Reporting:
    """Calls a function, or shows a bar while it is entered; parts of a run share the bar.

    Args:
        shown: The argument ``progress`` of :class:`~elasticnas.run.Run`.

    Attributes:
        live: The bar; None without one.

    Raises:
        ConfigError: ``shown`` has another type.
    """

    def __init__(self, shown: ProgressOption) -> None:
        if not (shown is None or shown == "auto" or isinstance(shown, bool) or callable(shown)):
            raise ConfigError(
                f"progress={shown!r}: True for a bar, None for silence, 'auto', or a function that takes a Progress"
            )
        self.live = LiveProgress() if shown is True or (shown == "auto" and is_watched()) else None
        self._function: ProgressFunction | None = shown if callable(shown) else None
        self._first, self._steps, self._pace = 0, 0, 0.0

    def piece(self, first: int, steps: int) -> "Reporting":
        """Make the reporting of a part of the run.

        Args:
            first: Steps of the run before the part.
            steps: Total steps of the run; 0 to report the part's own number.
        """
        made = Reporting(self._function)
        made.live, made._first, made._steps = self.live, self._first + first, steps or self._steps
        return made

    @property
    def console(self) -> Console:
        """The console of the bar, for work that shows its own stages; a quiet console without a bar."""
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
        """Show progress on the bar, and call the function."""
        converted = self._in_run_steps(progress)
        self.show(converted)
        if self._function is not None:
            self._function(converted)

    def show(self, progress: Progress) -> None:
        """Show progress on the bar only."""
        if self.live is not None:
            self.live(progress)

    def tell(self, progress: Progress) -> None:
        """Call the function only."""
        if self._function is not None:
            self._function(self._in_run_steps(progress))

    def watched(self, stage: str, items: Sequence[T]) -> Iterator[T]:
        """Iterate over items of work other than steps, and show their progress on the bar only."""
        started = time.perf_counter()
        for done, item in enumerate(items, 1):
            yield item
            left = (time.perf_counter() - started) / done * (len(items) - done)
            self.show(Progress(stage, done, len(items), {}, left))

    def _in_run_steps(self, progress: Progress) -> Progress:
        """Convert the progress of a part to steps of the whole run; assumes that later parts have the same pace."""
        step, ahead = progress.step + self._first, progress.steps - progress.step
        if not self._steps:
            return replace(progress, step=step)
        self._pace = progress.seconds_left / ahead if ahead > 0 else self._pace
        return replace(progress, step=step, steps=self._steps, seconds_left=self._pace * max(0, self._steps - step))
