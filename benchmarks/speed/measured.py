"""Result of one measurement: figures with targets, further figures, and remarks."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Measured", "Row", "medians"]


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        name: The ratio, or the counted quantity.
        value: The figure.
        low: Low end of its 95 % interval; the figure itself if it is counted.
        high: High end of the interval.
        target: Bound to meet; None if the figure is only reported.
        at_least: Whether the target is a lower bound instead of an upper bound.
        unit: Empty for a ratio.
        bound: The same ratio of FLOPs, as an expected value; None if it does not apply.
        rounds: Number of timed rounds; 0 if the figure is counted.
    """

    name: str
    value: float
    low: float
    high: float
    target: float | None = None
    at_least: bool = False
    unit: str = ""
    bound: float | None = None
    rounds: int = 0

    @classmethod
    def counted(cls, name: str, value: float, target: float | None = None, **more: Any) -> "Row":
        """Return a figure without an interval."""
        return cls(name, value, value, value, target, **more)

    @property
    def met(self) -> bool | None:
        """Whether the interval reaches the target; None without a target."""
        if self.target is None:
            return None
        return self.high >= self.target if self.at_least else self.low <= self.target

    def record(self) -> dict[str, Any]:
        """Return plain data for the JSON file."""
        return {**asdict(self), "met": self.met}


@dataclass
class Measured:
    """Result of one part: rows with ratios, a table of further figures, remarks on omitted measurements."""

    rows: list[Row] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Return plain data for the JSON file."""
        return {"rows": [row.record() for row in self.rows], "figures": self.figures, "remarks": self.remarks}


def medians(times: Mapping[str, Sequence[float]], prefix: str = "") -> list[dict[str, Any]]:
    """Return the median milliseconds of every form, for the table of figures."""
    return [
        {"form": f"{prefix}{name}", "ms": 1000 * statistics.median(values), "rounds": len(values)}
        for name, values in times.items()
    ]
