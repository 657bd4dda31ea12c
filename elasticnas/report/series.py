"""Series: points of one kind, for plots in any form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["COLOURS", "Interval", "Series", "colours_of"]

Interval: TypeAlias = tuple[float, float]
"""Lower and upper end."""

# Okabe and Ito's colours, told apart by colour-blind readers too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


@dataclass(frozen=True)
class Series:
    """Points of one kind.

    Attributes:
        name: In the legend.
        points: ``(cost, metric)`` pairs.
        form: ``dots`` for a cloud, ``steps`` for a front (the best metric that a cost buys), ``line`` for networks
            one by one, ``area`` for shares that are stacked.
        note: Behind the name in the legend, such as how many.
        method: Series of one method share a colour; its own name by default.
        intervals: Lower and upper end of each point's metric, drawn as error bars; None for a point without.
    """

    name: str
    points: Sequence[tuple[float, float]]
    form: Literal["dots", "steps", "line", "area"] = "line"
    note: str = ""
    method: str = ""
    intervals: Sequence[Interval | None] = ()

    @property
    def label(self) -> str:
        """The name with its note."""
        return f"{self.name} ({self.note})" if self.note else self.name

    def ordered(self) -> list[tuple[float, float, Interval | None]]:
        """Cost, metric and interval of each point, by cost."""
        intervals = self.intervals or [None] * len(self.points)
        rows = [(x, y, interval) for (x, y), interval in zip(self.points, intervals, strict=True)]
        return sorted(rows, key=lambda row: row[:2])

    def heights(self) -> list[float]:
        """Metrics and ends of intervals: what an axis has to hold."""
        ends = (end for interval in self.intervals if interval is not None for end in interval)
        return [*(y for _, y in self.points), *ends]


def colours_of(series: Sequence[Series]) -> list[str]:
    """A colour for each, the same for series of one method."""
    methods = list(dict.fromkeys(each.method or each.name for each in series))
    return [COLOURS[methods.index(each.method or each.name) % len(COLOURS)] for each in series]
