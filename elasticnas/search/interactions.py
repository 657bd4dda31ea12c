"""Interactions: pairs of options whose changes of the metric do not add up, found one by one."""

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from elasticnas.search.option_scores import OptionScores, PairChange
from elasticnas.search.scoring import default_options, nearest_with

__all__ = ["with_interactions"]

_NEGLIGIBLE = 1e-9  # relative to the level: residuals below are rounding

Cell = tuple[tuple[str, int], tuple[str, int]]


def with_interactions(
    scores: OptionScores[Any],
    probes: Mapping[Any, float],
    evaluate: Callable[[Any], "float | None"],
    count: int,
) -> OptionScores[Any]:
    """Add pairwise corrections, one after the other, where additivity fails most.

    The residuals r of random architectures (probes), evaluated less predicted and centred, name the pair of options
    with the largest ``(sum of r)^2 / (n + 1)`` over the n probes that have both. The pair is evaluated: the first
    reference with both options, less the prediction, is its correction. The residuals are computed anew, and so on.

    Args:
        scores: The scores.
        probes: Metrics of the probes, random architectures within the budgets.
        evaluate: Returns the metric of an architecture; None if it fails.
        count: How many pairs are evaluated at most.
    """
    space = scores.space
    base = default_options(space, scores.references[0])
    tried: set[Cell] = set()
    for _ in range(count):
        arch = None
        for cell in _ordered(scores, probes):
            if cell not in tried:
                tried.add(cell)
                arch = _with_both(space, base, cell)
                if arch is not None:
                    break
        if arch is None:
            break
        metric = evaluate(arch)
        if metric is not None:
            scores = _corrected(scores, cell, metric - scores.predict(arch))
    return scores


def _ordered(scores: OptionScores[Any], probes: Mapping[Any, float]) -> Iterator[Cell]:
    """Iterate over pairs of options that change the reference, those that explain the residuals best first."""
    space, base = scores.space, default_options(scores.space, scores.references[0])
    residuals = np.array([metric - scores.predict(arch) for arch, metric in probes.items()])
    known = np.isfinite(residuals)
    if not known.any() or np.abs(residuals[known]).max() <= _NEGLIGIBLE * max(1.0, abs(scores.level)):
        return iter(())
    residuals = np.where(known, residuals - residuals[known].mean(), 0.0)
    sums: dict[Cell, tuple[float, int]] = {}
    indices = {choice.name: choice.index(base[choice.name]) for choice in space.choice_list()}
    for arch, residual in zip(probes, residuals.tolist(), strict=True):
        present = space.present(arch)
        changed = [(n, i) for n, i in space.indices(arch).items() if n in present and i != indices[n]]
        for cell in combinations(changed, 2):
            total, count = sums.get(cell, (0.0, 0))
            sums[cell] = total + residual, count + 1
    return iter(sorted(sums, key=lambda cell: -(sums[cell][0] ** 2) / (sums[cell][1] + 1)))


def _with_both(space: Any, base: Mapping[str, Any], cell: Cell) -> Any:
    """Return the reference with both options alone; None if the rules forbid it."""
    choices = space.choices()
    options = {name: choices[name][index] for name, index in cell}
    arch = nearest_with(space, base, options)
    if arch is None:
        return None
    values = space.assignment(arch)
    present = space.present(arch)
    return arch if all(values[name] == base[name] for name in present - options.keys()) else None


def _corrected(scores: OptionScores[Any], cell: Cell, change: float) -> OptionScores[Any]:
    (one, first), (other, second) = cell
    counts = {name: len(options) for name, options in scores.space.choices().items()}
    tables = {pair.choices: np.array(pair.changes) for pair in scores.pairs}
    table = tables.setdefault((one, other), np.zeros((counts[one], counts[other])))
    table[first, second] = change
    pairs = tuple(PairChange(choices=names, changes=tuple(map(tuple, t.tolist()))) for names, t in tables.items())
    return scores.model_copy(update={"pairs": pairs})
