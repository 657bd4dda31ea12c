"""Architectures: count, list and sample the valid architectures of a space, and find those nearest to its extremes."""

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

_COMPARED = 50  # random paths through the rules on which watched instances are compared with pydantic's validation
_MAX_SORTED = 50_000  # combinations of a component; more are listed unsorted

Assignment = dict[str, Any]


class Architectures:
    """The valid architectures of a space, as assignments: dicts from choice name to option.

    Args:
        name: Name of the space.
        items: The choices of the space.
        rules: The rules of the space.
        possible: Returns the architecture of an assignment, or None if a rule rejects it.
    """

    def __init__(
        self, name: str, items: tuple[Declared, ...], rules: Rules, possible: Callable[[Assignment], Any]
    ) -> None:
        self._name, self._items, self._rules, self._possible = name, items, rules, possible

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """The choices in independent groups, those with rules first."""
        return tuple(sorted(components(self._rules, self._items), key=lambda component: not component.rules))

    @cached_property
    def tied(self) -> tuple[Declared, ...]:
        """The choices that rules read or that set a number of layers; all others are free."""
        counting = {item.length_of for item in self._items}
        read = frozenset[str]().union(*(component.read for component in self.components))
        return tuple(item for item in self._items if item.choice.name in read or item.choice.name in counting)

    @cached_property
    def size(self) -> int:
        """The number of valid architectures.

        Raises:
            SpaceError: Rules connect too many choices to count.
        """
        self._check_watching()
        return prod(self._count(component) for component in self.components)

    def __iter__(self) -> Iterator[Assignment]:
        """Iterate over all assignments; absent layers have their first option.

        Raises:
            SpaceError: Rules connect too many choices to count.
        """
        if self.size == 0:
            return
        first, *others = (self._combinations(component) for component in self.components)
        rest = [list(combinations) for combinations in others]
        for one in first:
            for parts in product(*rest):
                yield self._assignment(chain((one,), parts))

    def sample(self, rng: random.Random) -> Assignment:
        """Draw an assignment, each choice uniform and independent as far as rules allow; see :class:`Sampler`.

        Raises:
            SpaceError: None was found.
        """
        tried = f"in {TRIES:,} draws"
        return self._assignment(self._require_found(part, sampler.draw(rng), tried) for part, sampler in self._samplers)

    def nearest(self, largest: bool) -> Assignment:
        """Return the assignment with the fewest steps from every choice at its largest or smallest option.

        Raises:
            SpaceError: None was found.
        """
        tried = "near its extremes or elsewhere"
        return self._assignment(self._require_found(part, nearest(part, largest), tried) for part in self.components)

    def around(self, names: frozenset[str]) -> set[str]:
        """Return these choices and those that rules connect with any of them."""
        return set().union(*(part.read for part in self.components if part.read & names)) | names

    @cached_property
    def _samplers(self) -> list[tuple[Component, Sampler]]:
        return [(component, Sampler(component)) for component in self.components]

    def _count(self, component: Component) -> int:
        try:
            return component.count
        except TooManyRuns:
            raise SpaceError(
                f"{self._name}: rules tie {len(component.read)} choices with more than {RUNS:,} combinations; "
                "sample instead"
            ) from None

    def _combinations(self, component: Component) -> Iterator[Combination]:
        if component.count > _MAX_SORTED:
            return component.combinations()
        names = [item.choice.name for item in component.items]
        names.sort(key=lambda name: name not in component.read)
        return iter(sorted(component.combinations(), key=lambda combination: [combination[name] for name in names]))

    def _require_found(self, component: Component, combination: Combination | None, tried: str) -> Combination:
        if combination is not None:
            return combination
        rules = ", ".join(dict.fromkeys(rule.name for rule in component.rules)) or "the validators of its fields"
        if component.listed is not None:
            raise SpaceError(f"{self._name} has no valid architecture: {rules} reject all of them; loosen the rules")
        raise SpaceError(
            f"{self._name}: no valid architecture was found {tried}, but there may be one; loosen the rules ({rules}) "
            "or the options"
        )

    def _assignment(self, combinations: Iterable[Combination]) -> Assignment:
        index = {name: position for combination in combinations for name, position in combination.items()}
        return {item.choice.name: item.choice.options[index[item.choice.name]] for item in self._items}

    def _check_watching(self) -> None:
        """Require that rules give the same result on watched instances and in pydantic, on random paths."""
        firsts = [component.first() for component in self.components if self._count(component)]
        if len(firsts) < len(self.components):
            return
        rng = random.Random(0)
        for component in self.components:
            for _ in range(_COMPARED if component.rules else 0):
                path = Path(component.options, rng)
                valid = component.obeys(path)
                if component.weight(path.taken) and component.canonical(path.taken) == path.taken:
                    here = chain((first for first in firsts if first is not None), (component.draw(path.taken, rng),))
                    self._require_same(component, valid, self._assignment(here))

    def _require_same(self, component: Component, valid: bool, assignment: Assignment) -> None:
        if (self._possible(assignment) is not None) is not valid:
            raise SpaceError(
                f"{self._name}: {', '.join(rule.name for rule in component.rules)} cannot be counted: their result for "
                f"{assignment} changes when they are watched; let them read nothing but fields and properties"
            )
