"""Components: groups of choices that rules connect, and the combinations of options that the rules allow."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from sys import maxsize

from elasticnas.space.lengths import Count, count_by_length
from elasticnas.space.rules import Rule, Rules
from elasticnas.space.schema import Declared
from elasticnas.space.tree import Path, TooManyRuns, has_more, leaves

__all__ = ["RUNS", "Combination", "Component", "Group", "Indices", "components"]

RUNS = 1_000_000
"""Most paths through the rules of a component that are counted; with more, counting is refused."""
_LISTED = 50_000  # most paths that are kept in a list

Indices = Mapping[str, int]
Combination = dict[str, int]


@dataclass(frozen=True)
class Group:
    """A choice, and the choices of the layers whose number it sets, if any."""

    item: Declared
    layers: tuple[Declared, ...]


class Component:
    """Choices that depend on each other and on no others.

    Args:
        space: All rules of the space.
        rules: The rules that read these choices.
        items: The choices, in order, with all layers whose number one of them sets.
        read: Names of the choices that the rules read.

    Attributes:
        options: Indices of the options that the validators of the field allow, by choice name.
    """

    def __init__(self, space: Rules, rules: Sequence[Rule], items: Sequence[Declared], read: frozenset[str]) -> None:
        self.items, self.rules, self.read = tuple(items), tuple(rules), read
        self.names = frozenset(item.choice.name for item in items)
        self._space = space
        self.options = {name: space.options[name] for name in self.names}
        self._restricted = any(len(self.options[item.choice.name]) < len(item.choice.options) for item in items)
        self.groups = tuple(
            Group(item, tuple(other for other in items if other.length_of == item.choice.name))
            for item in items
            if item.length_of is None
        )

    @cached_property
    def listed(self) -> tuple[Indices, ...] | None:
        """Option indices that the rules read, for each path that they allow; None if there are too many paths."""
        if self._by_length is not None and self._by_length.paths > RUNS:
            return None
        try:
            return tuple(taken for taken, valid in self._paths(_LISTED) if valid and self._completions(taken))
        except TooManyRuns:
            return None

    @cached_property
    def count(self) -> int:
        """Number of valid combinations; options of absent layers are not counted.

        Raises:
            TooManyRuns: There are more than :data:`RUNS` paths through the rules.
        """
        if self.listed is None and self._by_length is not None:
            return self._by_length.combinations
        return sum(map(self._completions, self.allowed()))

    def allowed(self) -> Iterator[Indices]:
        """Iterate over the option indices that the rules read, for each path that they allow.

        Raises:
            TooManyRuns: There are more than :data:`RUNS` paths through the rules.
        """
        if self.listed is not None:
            return iter(self.listed)
        if self._by_length is not None:  # counted without them, so that they need no limit
            return (taken for taken, valid in leaves(self.options, self.obeys, maxsize) if valid)
        return (taken for taken, valid in self._paths(RUNS) if valid)

    def combinations(self) -> Iterator[Combination]:
        """Iterate over the valid combinations; absent layers have their first option.

        Raises:
            TooManyRuns: There are more than :data:`RUNS` paths through the rules.
        """
        base = {item.choice.name: 0 for item in self.items}
        for taken in self.allowed():
            for parts in product(*(self._group_combinations(group, taken) for group in self.groups)):
                yield {name: index for part in (base, taken, *parts) for name, index in part.items()}

    def first(self) -> Combination | None:
        """Return a valid combination; None if there is none.

        Raises:
            TooManyRuns: There are more than :data:`RUNS` paths through the rules.
        """
        base = {item.choice.name: 0 for item in self.items}
        for taken in self.allowed():
            parts = [next(self._group_combinations(group, taken), None) for group in self.groups]
            if None not in parts:
                return {name: index for part in (base, taken, *filter(None, parts)) for name, index in part.items()}
        return None

    def branches(self, group: Group, taken: Indices) -> Iterator[tuple[int, list[Declared]]]:
        """Iterate over the options of a group's choice, with the present layers that are not in ``taken``.

        Args:
            group: The group.
            taken: Option indices that are given; the choice has only this option if it is among them.
        """
        name = group.item.choice.name
        for index in (taken[name],) if name in taken else self.options[name]:
            present = (layer for layer in group.layers if layer.in_layer({name: group.item.choice.options[index]}))
            layers = [layer for layer in present if layer.choice.name not in taken]
            if all(self.options[layer.choice.name] for layer in layers):
                yield index, layers

    def weight(self, taken: Indices) -> int:
        """Return the number of assignments with these options; absent choices may have any option."""
        without = prod(len(item.choice.options) for item in self.items if self._lacks_effect(item, taken))
        return without * prod(sum(self._weights(group, taken)) for group in self.groups)

    def draw(self, taken: Indices, rng: random.Random) -> Combination:
        """Draw a combination with these options; all assignments are equally probable."""
        drawn = {name: options[0] for name, options in self.options.items() if options} | dict(taken)
        for group in self.groups:
            (index, layers), *_ = rng.choices(list(self.branches(group, taken)), self._weights(group, taken))
            drawn[group.item.choice.name] = index
            drawn |= {layer.choice.name: rng.choice(self.options[layer.choice.name]) for layer in layers}
        return drawn

    def obeys(self, path: Path) -> bool:
        """Return whether the rules of the component allow a path."""
        return self._space.run(path, self.rules)

    def is_valid(self, indices: Indices) -> bool:
        """Return whether the rules of the component allow a combination."""
        if self._restricted and any(indices[name] not in self.options[name] for name in self.present(indices)):
            return False
        return self.obeys(Path.along(indices))

    def present(self, indices: Indices) -> set[str]:
        """Return the names of the choices that a combination has: all but absent ones."""
        values = {item.choice.name: item.choice.options[indices[item.choice.name]] for item in self.items}
        return {item.choice.name for item in self.items if item.active(values)}

    def canonical(self, indices: Indices) -> Combination:
        """Return a combination with the first option for the choices that have no effect in it."""
        without = {item.choice.name: 0 for item in self.items if self._lacks_effect(item, indices)}
        return dict(indices) | without

    def count_within(self, options: Mapping[str, Sequence[int]], rules: Sequence[Rule], names: frozenset[str]) -> Count:
        """Return the number of combinations of some choices, with these options, that some rules allow.

        Raises:
            TooManyRuns: There are more than :data:`RUNS` paths through the rules.
        """
        paths = leaves(options, lambda path: self._space.run(path, rules), RUNS)
        allowed = [prod(len(options[name]) for name in names - taken.keys()) for taken, valid in paths if valid]
        return Count(len(allowed), sum(allowed))

    def reads_within(self, rule: Rule, options: Mapping[str, Sequence[int]]) -> "frozenset[str] | None":
        """See :meth:`Rules.reads_within`; None too if rules may depend on those before them."""
        return None if self._space.has_private else self._space.reads_within(rule, options)

    @staticmethod
    def _lacks_effect(item: Declared, indices: Indices) -> bool:
        return (
            item.unless is not None
            and item.choice.name in indices
            and indices.get(item.unless[0].name) == item.unless[1]
        )

    @cached_property
    def _by_length(self) -> Count | None:
        few = prod(len(self.options[name]) for name in self.read) <= _LISTED
        return None if few else count_by_length(self)

    def _paths(self, most: int) -> Iterator[tuple[Indices, bool]]:
        few = prod(len(self.options[name]) for name in self.read) <= most
        if not few and has_more(self.options, self.obeys, most):
            raise TooManyRuns
        yield from leaves(self.options, self.obeys, most)

    def _completions(self, taken: Indices) -> int:
        return prod(
            sum(prod(len(self.options[layer.choice.name]) for layer in layers) for _, layers in branches)
            for branches in (self.branches(group, taken) for group in self.groups)
        )

    def _group_combinations(self, group: Group, taken: Indices) -> Iterator[Combination]:
        return (
            {group.item.choice.name: index, **{o.choice.name: i for o, i in zip(layers, chosen, strict=True)}}
            for index, layers in self.branches(group, taken)
            for chosen in product(*(self.options[layer.choice.name] for layer in layers))
        )

    def _weights(self, group: Group, taken: Indices) -> list[int]:
        """Return the number of assignments of each branch."""
        unread = [layer for layer in group.layers if layer.choice.name not in taken]
        return [
            prod(len(self.options[o.choice.name]) if o in layers else len(o.choice.options) for o in unread)
            for _, layers in self.branches(group, taken)
        ]


def components(space: Rules, items: Sequence[Declared]) -> tuple[Component, ...]:
    """Group the choices of a space: choices that a rule or a number of layers connects are in one component."""
    parts: list[tuple[set[str], list[Rule]]] = [
        ({item.choice.name, *(other.choice.name for other in items if other.length_of == item.choice.name)}, [])
        for item in items
        if item.length_of is None
    ]
    reads = {rule: space.reads(rule) for rule in space.all}
    for rule, read in reads.items():
        touched = [part for part in parts if part[0] & read]
        names = set(read).union(*(names for names, _ in touched))
        rules = [other for _, before in touched for other in before]
        parts = [part for part in parts if part not in touched] + [(names, [*rules, rule])]
    return tuple(
        Component(
            space,
            [rule for rule in space.all if rule in rules],  # in order: a rule may rely on those before it
            [item for item in items if item.choice.name in names],
            frozenset[str]().union(*(reads[rule] for rule in rules)),
        )
        for names, rules in parts
    )
