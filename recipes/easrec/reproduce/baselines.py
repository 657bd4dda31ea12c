"""Rows of popularity and last item, which need no training, for the tables of the matrix of runs."""

from collections.abc import Sequence
from typing import Any

from easrec.reproduce.collect import Measured, summary
from easrec.reproduce.figure import Figure
from easrec.result import RunResult

__all__ = ["NOTE", "baseline_rows"]

NOTE = "Popularity and last item (a first-order Markov chain) need no training; they are in no test and never bold."


def baseline_rows(measured: Sequence[Measured], keys: Sequence[Figure]) -> list[tuple[str, list[str], dict[str, Any]]]:
    """Return label, cells and figures of every baseline, over the seeds of all methods; a seed counts once.

    Args:
        measured: The methods; results of versions without baselines are left out.
        keys: Metrics of the found network, which are read from the baselines instead.
    """
    by_seed: dict[int, RunResult[Any]] = {}
    for each in measured:
        by_seed |= {seed: result for seed, result in zip(each.seeds, each.results, strict=True) if result.baselines}
    seeds, rows = sorted(by_seed), []
    for name in by_seed[seeds[0]].baselines if seeds else ():
        figures = {key.name: summary([_value(by_seed[seed], name, key) for seed in seeds]) for key in keys}
        about = {"method": name, "label": name, "seeds": seeds, "missing": [], "sizes": "", "warnings": []}
        rows.append((name, [_cell(figure) for figure in figures.values()], about | figures))
    return rows


def _value(result: RunResult[Any], baseline: str, key: Figure) -> float:
    _, stage, protocol, name = key.name.split("/")
    return result.baselines[baseline][stage][protocol][name]  # type: ignore[index]


def _cell(figure: dict[str, Any]) -> str:
    deviation = figure["deviation"]
    return f"{figure['mean']:.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")
