"""Components: choices that rules tie together, and the combinations of their options that the rules leave."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

from elasticnas.space.rules import Rule, Rules
from elasticnas.space.schema import Declared
from elasticnas.space.tree import Path, TooManyRuns, has_more, leaves

__all__ = ["RUNS", "Combination", "Component", "Group", "Indices", "components"]

RUNS = 1_000_000
"""Ways through the rules of a component that are counted; beyond, the count is refused."""
_LISTED = 50_000  # ways gone through where they are listed

Indices = Mapping[str, int]
Combination = dict[str, int]


@dataclass(frozen=True)
class Group:
    """A choice and the layers that it counts, if it counts any."""

    item: Declared
    layers: tuple[Declared, ...]


class Component:
    """Choices that depend on each other, and on no others.

    Args:
        space: All rules of the space.
        rules: Those that read these choices.
        items: The choices, in order; layers come with the choice that counts them.
        read: Names of those that the rules read.

    Attributes:
        options: Indices of the options that the validators of a field alone allow, by choice.
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
        """What the rules read on each way that they allow; None where the ways are too many to list."""
        try:
            return tuple(taken for taken, valid in self._ways(_LISTED) if valid and self._completions(taken))
        except TooManyRuns:
            return None

    @cached_property
    def count(self) -> int:
        """Number of valid combinations; the options of layers that are not there do not count.

        Raises:
            TooManyRuns: There are more than :data:`RUNS` ways through the rules.
        """
        return sum(map(self._completions, self.allowed()))

    def allowed(self) -> Iterator[Indices]:
        """What the rules read on each way that they allow.

        Raises:
            TooManyRuns: There are more than :data:`RUNS` ways through the rules.
        """
        if self.listed is not None:
            return iter(self.listed)
        return (taken for taken, valid in self._ways(RUNS) if valid)

    def combinations(self) -> Iterator[Combination]:
        """Every valid combination once; layers that are not there at their first option.

        Raises:
            TooManyRuns: There are more than :data:`RUNS` ways through the rules.
        """
        base = {item.choice.name: 0 for item in self.items}
        for taken in self.allowed():
            for parts in product(*(self._completed(group, taken) for group in self.groups)):
                yield {name: index for part in (base, taken, *parts) for name, index in part.items()}

    def branches(self, group: Group, taken: Indices) -> Iterator[tuple[int, list[Declared]]]:
        """Each option that a group's choice may have beside what was read, and the layers to be chosen with it."""
        name = group.item.choice.name
        for index in (taken[name],) if name in taken else self.options[name]:
            there = (layer for layer in group.layers if layer.active({name: group.item.choice.options[index]}))
            layers = [layer for layer in there if layer.choice.name not in taken]
            if all(self.options[layer.choice.name] for layer in layers):
                yield index, layers

    def weight(self, taken: Indices) -> int:
        """Number of assignments of options that have what was read; layers that are not there have any option."""
        return prod(sum(self._weights(group, taken)) for group in self.groups)

    def draw(self, taken: Indices, rng: random.Random) -> Combination:
        """A combination that has what was read, drawn as uniform assignments give it."""
        drawn = {name: options[0] for name, options in self.options.items() if options} | dict(taken)
        for group in self.groups:
            (index, layers), *_ = rng.choices(list(self.branches(group, taken)), self._weights(group, taken))
            drawn[group.item.choice.name] = index
            drawn |= {layer.choice.name: rng.choice(self.options[layer.choice.name]) for layer in layers}
        return drawn

    def obeys(self, path: Path) -> bool:
        """Whether the rules of the component allow a path."""
        return self._space.run(path, self.rules)

    def is_valid(self, indices: Indices) -> bool:
        """Whether the rules of the component allow a combination."""
        if self._restricted and any(indices[name] not in self.options[name] for name in self.present(indices)):
            return False
        return self.obeys(Path.along(indices))

    def present(self, indices: Indices) -> set[str]:
        """Names of the choices that a combination has: all but those of layers beyond their number."""
        values = {g.item.choice.name: g.item.choice.options[indices[g.item.choice.name]] for g in self.groups}
        return {item.choice.name for item in self.items if item.active(values)}

    def _ways(self, most: int) -> Iterator[tuple[Indices, bool]]:
        few = prod(len(self.options[name]) for name in self.read) <= most
        if not few and has_more(self.options, self.obeys, most):
            raise TooManyRuns
        yield from leaves(self.options, self.obeys, most)

    def _completions(self, taken: Indices) -> int:
        return prod(
            sum(prod(len(self.options[layer.choice.name]) for layer in layers) for _, layers in branches)
            for branches in (self.branches(group, taken) for group in self.groups)
        )

    def _completed(self, group: Group, taken: Indices) -> list[Combination]:
        return [
            {group.item.choice.name: index, **{o.choice.name: i for o, i in zip(layers, chosen, strict=True)}}
            for index, layers in self.branches(group, taken)
            for chosen in product(*(self.options[layer.choice.name] for layer in layers))
        ]

    def _weights(self, group: Group, taken: Indices) -> list[int]:
        """For each branch, the assignments behind it."""
        unread = [layer for layer in group.layers if layer.choice.name not in taken]
        return [
            prod(len(self.options[o.choice.name]) if o in layers else len(o.choice.options) for o in unread)
            for _, layers in self.branches(group, taken)
        ]


def components(space: Rules, items: Sequence[Declared]) -> tuple[Component, ...]:
    """The choices of a space, those in one component that rules or layer counts tie together."""
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
            [rule for rule in space.all if rule in rules],  # in order: one may rely on those before it
            [item for item in items if item.choice.name in names],
            frozenset[str]().union(*(reads[rule] for rule in rules)),
        )
        for names, rules in parts
    )
