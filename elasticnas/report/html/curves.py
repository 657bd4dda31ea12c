"""Curves: figures over the steps of a run, thinned where there are too many to draw."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elasticnas.report.series import Series

__all__ = ["curves", "read_metrics", "thinned"]

_MOST = 400  # points of a curve: more cannot be told apart in a plot


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a ``metrics.jsonl``; none where there is no such file, and without a line that is cut short."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:  # the last line of a run that was killed
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def thinned(records: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], str]:
    """At most 400 records, evenly spread, the last among them; and a note that says so, empty where all are kept."""
    every = -(-len(records) // _MOST)
    if every <= 1:
        return list(records), ""
    return list(records[(len(records) - 1) % every :: every]), f"1 record in {every} is shown."


def curves(records: Sequence[Mapping[str, Any]], names: Mapping[str, str], at: str = "step") -> list[Series]:
    """A line for each figure, over the steps of the records that have it; figures that none has are left out.

    Args:
        records: Plain data.
        names: From a figure's name in the records to that in the legend.
        at: Name of the step.
    """
    made = []
    for name, label in names.items():
        points = [(record[at], record[name]) for record in records if _finite(record.get(name)) and at in record]
        if points:
            made.append(Series(label, points, "line"))
    return made


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
