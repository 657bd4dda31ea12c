"""count_by_length: count combinations for one number of layers at a time, where the rules of layers are independent."""

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from elasticnas.space.tree import TooManyRuns

if TYPE_CHECKING:
    from elasticnas.space.component import Component
    from elasticnas.space.rules import Rule

__all__ = ["Count", "count_by_length"]

_LENGTHS = 1_000  # most combinations of numbers of layers


class Count(NamedTuple):
    """Valid paths through rules, and the combinations of options on them."""

    paths: int
    combinations: int


Part = tuple[frozenset[str], "list[Rule]"]
Options = Mapping[str, Sequence[int]]


def count_by_length(component: "Component") -> Count | None:
    """Count the valid combinations of a component whose rules connect choices only through lengths.

    If every number of layers is fixed, rules that read different choices are independent: the count is the product of
    theirs. It is exact, and its work is the sum of the rules' paths instead of their product.

    Args:
        component: Choices that are connected by rules.

    Returns:
        The count; None if no choice sets a number of layers, or rules have too many paths even then.
    """
    lengths = [group.item.choice.name for group in component.groups if group.layers]
    if not lengths or prod(len(component.options[name]) for name in lengths) > _LENGTHS:
        return None
    paths, combinations = 0, 0
    for indices in product(*(component.options[name] for name in lengths)):
        options = component.options | {name: (index,) for name, index in zip(lengths, indices, strict=True)}
        counted = _with_lengths(component, options, frozenset(lengths))
        if counted is None:
            return None
        paths, combinations = paths + counted.paths, combinations + counted.combinations
    return Count(paths, combinations)


def _with_lengths(component: "Component", options: Options, lengths: frozenset[str]) -> Count | None:
    parts: list[Part] = []
    for rule in component.rules:
        read = component.reads_within(rule, options)
        if read is None:
            return None
        touched = [part for part in parts if part[0] & (read - lengths)]
        names = (read - lengths).union(*(names for names, _ in touched))
        rules = [other for other in component.rules if other is rule or any(other in before for _, before in touched)]
        parts = [part for part in parts if part not in touched] + [(names, rules)]
    values = {
        item.choice.name: item.choice.options[options[item.choice.name][0]]
        for item in component.items
        if item.choice.name in lengths
    }
    ruled = frozenset[str]().union(*(names for names, _ in parts))
    free = prod(
        len(options[item.choice.name])
        for item in component.items
        if item.choice.name not in ruled | lengths and item.in_layer(values)
    )
    try:
        counted = [component.count_within(options, rules, names) for names, rules in parts]
    except TooManyRuns:
        return None
    return Count(prod(each.paths for each in counted), free * prod(each.combinations for each in counted))
