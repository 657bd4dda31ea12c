"""Scores of options: which architectures to evaluate, and what the options change."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

__all__ = ["default_options", "fit_changes", "nearest_with", "single_changes"]

Metrics = Mapping[Any, float]


def default_options(space: Any, reference: Any) -> dict[str, Any]:
    """Return the option of every choice in a reference; absent layers have the option of the largest architecture."""
    values, present = space.assignment(reference), space.present(reference)
    largest = space.assignment(space.largest())
    return {name: values[name] if name in present else largest[name] for name in values}


def single_changes(space: Any, reference: Any) -> dict[tuple[str, int], Any]:
    """Return for each option (choice, index) the reference with this option, or the nearest architecture that has it.

    Options of the reference itself, and options that no architecture was found for, are not among them.
    """
    base = default_options(space, reference)
    present = space.present(reference)
    found = {}
    for choice in space.choice_list():
        for index, option in enumerate(choice.options):
            if choice.name in present and index == choice.index(base[choice.name]):
                continue
            arch = nearest_with(space, base, {choice.name: option})
            if arch is not None:
                found[choice.name, index] = arch
    return found


def nearest_with(space: Any, base: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """Return the architecture with these options that differs least from a base; None if none was found.

    Where rules forbid the options by themselves, one or two further choices are changed, of those that rules read or
    that set a number of layers, by as few steps as possible.
    """
    info = space.info()

    def possible(changes: Mapping[str, Any]) -> Any:
        arch = info.possible({**base, **changes, **options})
        return arch if arch is not None and options.keys() <= space.present(arch) else None

    arch = possible({})
    tied = [item.choice for item in info.architectures.tied if item.choice.name not in options]
    steps = [
        (abs(index - choice.index(base[choice.name])), {choice.name: option})
        for choice in tied
        for index, option in enumerate(choice.options)
    ]
    singles = [step for step in steps if step[0]]
    pairs = ((a + b, one | other) for (a, one), (b, other) in combinations(singles, 2) if one.keys().isdisjoint(other))
    for changes in (singles, pairs):
        if arch is None:
            ordered = (change for _, change in sorted(changes, key=lambda step: step[0]))
            arch = next(filter(lambda each: each is not None, map(possible, ordered)), None)
    return arch


def fit_changes(space: Any, reference: Any, metrics: Metrics) -> tuple[float, dict[str, tuple[float | None, ...]]]:
    """Fit ``metric = level + sum of changes over the present choices`` to evaluated architectures.

    It is the least-squares solution of the smallest norm in which the options of the reference change nothing. Where
    each option was evaluated alone, the changes are the differences to the reference; with several references, they
    fit all of them best. Where rules allow an option only together with others, it gets what these do not change alone;
    options that only occur together share their change equally.

    Args:
        space: The space.
        reference: The first reference.
        metrics: Metrics of the evaluated architectures.

    Returns:
        The level, and per choice the change by each option; None for an option that was not evaluated.
    """
    options = default_options(space, reference)
    base = {choice.name: choice.index(options[choice.name]) for choice in space.choice_list()}
    rows = [_options(space, arch) for arch in metrics]
    changed = sorted({pair for row in rows for pair in row if base[pair[0]] != pair[1]})
    columns = {pair: place for place, pair in enumerate(changed, 1)}
    features = np.zeros((len(rows), 1 + len(columns)))
    features[:, 0] = 1.0
    for place, row in enumerate(rows):
        features[place, [columns[pair] for pair in row if pair in columns]] = 1.0
    values = np.array(list(metrics.values()))
    solution = np.linalg.lstsq(features, values - values[0], rcond=None)[0]
    changes = {
        choice.name: tuple(
            0.0 if base[choice.name] == index else _at(solution, columns.get((choice.name, index)))
            for index in range(len(choice.options))
        )
        for choice in space.choice_list()
    }
    return float(values[0] + solution[0]), changes


def _options(space: Any, arch: Any) -> list[tuple[str, int]]:
    present = space.present(arch)
    return [(name, index) for name, index in space.indices(arch).items() if name in present]


def _at(solution: Any, column: int | None) -> float | None:
    return None if column is None else float(solution[column])
