"""Series: points of a plot, for all kinds of plots."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["COLOURS", "Interval", "Series", "colours_of"]

Interval: TypeAlias = tuple[float, float]
"""Lower and upper end."""

# Okabe and Ito's colours, which colour-blind readers can distinguish
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


@dataclass(frozen=True)
class Series:
    """A series of points in a plot.

    Attributes:
        name: Name in the legend.
        points: ``(cost, metric)`` pairs.
        form: ``dots`` for many points, ``steps`` for a Pareto front, ``line`` for a few networks or a curve, ``area``
            for stacked shares.
        note: Note after the name in the legend, such as the number of points.
        method: Series of the same method have the same colour; by default the name.
        intervals: Interval of each point's metric, drawn as error bars; None for a point without one.
    """

    name: str
    points: Sequence[tuple[float, float]]
    form: Literal["dots", "steps", "line", "area"] = "line"
    note: str = ""
    method: str = ""
    intervals: Sequence[Interval | None] = ()

    @property
    def label(self) -> str:
        """Name with note."""
        return f"{self.name} ({self.note})" if self.note else self.name

    def ordered(self) -> list[tuple[float, float, Interval | None]]:
        """Return cost, metric and interval of each point, sorted by cost."""
        intervals = self.intervals or [None] * len(self.points)
        rows = [(x, y, interval) for (x, y), interval in zip(self.points, intervals, strict=True)]
        return sorted(rows, key=lambda row: row[:2])

    def heights(self) -> list[float]:
        """Return all metrics and ends of intervals, for the range of an axis."""
        ends = (end for interval in self.intervals if interval is not None for end in interval)
        return [*(y for _, y in self.points), *ends]


def colours_of(series: Sequence[Series]) -> list[str]:
    """Return a colour for each series, the same for series of the same method."""
    methods = list(dict.fromkeys(each.method or each.name for each in series))
    return [COLOURS[methods.index(each.method or each.name) % len(COLOURS)] for each in series]
