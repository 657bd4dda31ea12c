"""Curves: figures over the steps of a run, thinned to a number that can be drawn."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elasticnas.files import read_text
from elasticnas.report.series import Series

__all__ = ["curves", "read_metrics", "thinned"]

_MOST = 400  # most points of a curve


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the records of a ``metrics.jsonl``; empty without the file. Lines that are not JSON are skipped."""
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError):
        return []
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # incomplete last line of a killed run
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def thinned(records: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], str]:
    """Return at most 400 evenly spread records, the last included, and a note on it (empty if all are returned)."""
    every = -(-len(records) // _MOST)
    if every <= 1:
        return list(records), ""
    return list(records[(len(records) - 1) % every :: every]), f"1 record in {every} is shown."


def curves(records: Sequence[Mapping[str, Any]], names: Mapping[str, str], at: str = "step") -> list[Series]:
    """Return a line for each figure that occurs in the records, over the steps.

    Args:
        records: The records.
        names: Names of the figures in the records, with their names in the legend.
        at: Name of the step in the records.
    """
    made = []
    for name, label in names.items():
        points = [(record[at], record[name]) for record in records if _finite(record.get(name)) and at in record]
        if points:
            made.append(Series(label, points, "line"))
    return made


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
