"""Architectures: the valid ones of a space, counted, listed, drawn, and nearest to its extremes."""

import random
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import chain, product
from math import prod
from typing import Any

from elasticnas.errors import SpaceError
from elasticnas.space.component import RUNS, Combination, Component, components
from elasticnas.space.nearest import nearest
from elasticnas.space.rules import Rules
from elasticnas.space.sampling import TRIES, Sampler
from elasticnas.space.schema import Declared
from elasticnas.space.tree import Path, TooManyRuns

__all__ = ["Architectures"]

_COMPARED = 50  # random ways through the rules on which watching is compared with validating
_SORTED = 50_000

Assignment = dict[str, Any]


class Architectures:
    """The valid architectures of a space, as assignments of an option to every choice.

    Args:
        name: Of the space.
        items: Its choices.
        rules: Its rules.
        possible: The architecture of an assignment; None where a rule refuses it.
    """

    def __init__(
        self, name: str, items: tuple[Declared, ...], rules: Rules, possible: Callable[[Assignment], Any]
    ) -> None:
        self._name, self._items, self._rules, self._possible = name, items, rules, possible

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """The choices in groups that do not depend on each other, those with rules first."""
        return tuple(sorted(components(self._rules, self._items), key=lambda component: not component.rules))

    @cached_property
    def tied(self) -> tuple[Declared, ...]:
        """The choices that rules read or that count layers; all others are free."""
        counting = {item.length_of for item in self._items}
        read = frozenset[str]().union(*(component.read for component in self.components))
        return tuple(item for item in self._items if item.choice.name in read or item.choice.name in counting)

    @cached_property
    def size(self) -> int:
        """How many there are.

        Raises:
            SpaceError: Rules tie too many choices together to count.
        """
        self._compare()
        return prod(self._counted(component) for component in self.components)

    def __iter__(self) -> Iterator[Assignment]:
        """Every one once; layers that it does not have are at their first option.

        Raises:
            SpaceError: Rules tie too many choices together to count.
        """
        if self.size == 0:
            return
        first, *others = (self._combinations(component) for component in self.components)
        rest = [list(combinations) for combinations in others]
        for one in first:
            for parts in product(*rest):
                yield self._assignment(chain((one,), parts))

    def sample(self, rng: random.Random) -> Assignment:
        """One of them, each choice uniform and independent where rules allow; how it is drawn: :class:`Sampler`.

        Raises:
            SpaceError: None was found.
        """
        tried = f"none of {TRIES:,} draws obeys its rules"
        return self._assignment(self._found(part, sampler.draw(rng), tried) for part, sampler in self._samplers)

    def nearest(self, largest: bool) -> Assignment:
        """The one with the fewest steps from every choice at its largest or smallest option.

        Raises:
            SpaceError: None was found.
        """
        tried = "near its extremes or far from them"
        return self._assignment(self._found(part, nearest(part, largest), tried) for part in self.components)

    def around(self, names: frozenset[str]) -> set[str]:
        """The choices that rules tie to any of these, themselves included."""
        return set().union(*(part.read for part in self.components if part.read & names)) | names

    @cached_property
    def _samplers(self) -> list[tuple[Component, Sampler]]:
        return [(component, Sampler(component)) for component in self.components]

    def _counted(self, component: Component) -> int:
        try:
            return component.count
        except TooManyRuns:
            raise SpaceError(
                f"{self._name}: rules tie {len(component.read)} choices with more than {RUNS:,} combinations; "
                "sample instead"
            ) from None

    def _combinations(self, component: Component) -> Iterator[Combination]:
        if component.count > _SORTED:
            return component.combinations()
        names = [item.choice.name for item in component.items]
        names.sort(key=lambda name: name not in component.read)
        return iter(sorted(component.combinations(), key=lambda combination: [combination[name] for name in names]))

    def _found(self, component: Component, combination: Combination | None, tried: str) -> Combination:
        if combination is not None:
            return combination
        rules = ", ".join(dict.fromkeys(rule.name for rule in component.rules)) or "the validators of its fields"
        if component.listed is not None:
            raise SpaceError(f"{self._name} has no valid architecture, {tried}: {rules} refuse every one; loosen them")
        raise SpaceError(
            f"{self._name}: no valid architecture was found, {tried}, and whether there is one is not "
            f"certain; loosen the rules ({rules}) or the options"
        )

    def _assignment(self, combinations: Iterable[Combination]) -> Assignment:
        index = {name: position for combination in combinations for name, position in combination.items()}
        return {item.choice.name: item.choice.options[index[item.choice.name]] for item in self._items}

    def _compare(self) -> None:
        """Validate architectures on random ways through the rules: what is watched must be what happens."""
        firsts = [next(component.combinations(), None) for component in self.components if self._counted(component)]
        if len(firsts) < len(self.components):
            return
        rng = random.Random(0)
        for component in self.components:
            for _ in range(_COMPARED if component.rules else 0):
                path = Path(component.options, rng)
                valid = component.obeys(path)
                if component.weight(path.taken):
                    here = chain((first for first in firsts if first is not None), (component.draw(path.taken, rng),))
                    self._require_same(component, valid, self._assignment(here))

    def _require_same(self, component: Component, valid: bool, assignment: Assignment) -> None:
        if (self._possible(assignment) is not None) is not valid:
            raise SpaceError(
                f"{self._name}: {', '.join(rule.name for rule in component.rules)} cannot be counted: what they say of "
                f"{assignment} changes when they are watched; let them read nothing but fields and properties"
            )
