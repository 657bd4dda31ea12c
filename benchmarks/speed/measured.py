"""What one measurement hands over: figures with targets, plain figures, and remarks."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Measured", "Row", "medians"]


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        name: What is divided by what, or what is counted.
        value: The figure.
        low: Low end of its 95 % interval; the figure itself where it is counted, not timed.
        high: High end.
        target: None where the figure is only reported.
        at_least: Whether the target is a lower bound; else it is an upper bound.
        unit: Nothing for a ratio.
        bound: The same ratio of FLOPs, where it says what can be expected.
        rounds: Measured; 0 where the figure is counted.
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
        """A figure without spread."""
        return cls(name, value, value, value, target, **more)

    @property
    def met(self) -> bool | None:
        """Whether the interval reaches the target; None without one."""
        if self.target is None:
            return None
        return self.high >= self.target if self.at_least else self.low <= self.target

    def record(self) -> dict[str, Any]:
        """For the JSON file."""
        return {**asdict(self), "met": self.met}


@dataclass
class Measured:
    """Of one part: rows with ratios, figures as a table of their own, remarks on what was left out."""

    rows: list[Row] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """For the JSON file."""
        return {"rows": [row.record() for row in self.rows], "figures": self.figures, "remarks": self.remarks}


def medians(times: Mapping[str, Sequence[float]], prefix: str = "") -> list[dict[str, Any]]:
    """Milliseconds of every form, for the table of plain figures."""
    return [
        {"form": f"{prefix}{name}", "ms": 1000 * statistics.median(values), "rounds": len(values)}
        for name, values in times.items()
    ]
