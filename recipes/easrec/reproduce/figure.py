"""Figure: one named number of a run, for tables and plots."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from easrec.result import RunResult, Stage

__all__ = ["FLOPS", "LARGEST_FLOPS", "PARAMS", "SEARCH_SECONDS", "Figure", "metric"]

Result: TypeAlias = RunResult[Any]


@dataclass(frozen=True)
class Figure:
    """One number of every run.

    Attributes:
        name: Name in the CSV and JSON files of tables, such as ``found/test/pop100/ndcg@10``.
        of: Reads the number from a result.
    """

    name: str
    of: Callable[[Result], float] = field(compare=False, repr=False)


def metric(stage: Stage, protocol: str, name: str) -> Figure:
    """Return the figure of a metric of the found network."""
    return Figure(f"found/{stage}/{protocol}/{name}", lambda result: result.figure("found", stage, protocol, name))


FLOPS = Figure("found/flops", lambda result: result.networks["found"].flops)
PARAMS = Figure("found/params", lambda result: result.networks["found"].params)
LARGEST_FLOPS = Figure("largest/flops", lambda result: result.networks["largest"].flops)
SEARCH_SECONDS = Figure("search/seconds", lambda result: result.search.result.seconds if result.search else 0.0)
