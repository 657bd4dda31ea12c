"""Completer: find a valid architecture with given options for some choices."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from elasticnas.errors import SpaceError
from elasticnas.space.rules import Rules
from elasticnas.space.schema import Declared, ascending

__all__ = ["Completer"]

_FEW = 10_000  # completions that are enumerated without a walk
_MOST = 1_000_000  # completions that are enumerated if the walk finds none
_MOVES = 10_000  # steps of the walk

Assignment = Mapping[str, Any]


class Completer:
    """Finds valid architectures with given options.

    Up to 10,000 completions are enumerated. Beyond, a random walk over valid architectures starts at a known one and
    moves towards the given options: a step changes one or two choices and never increases the distance. The given
    options are impossible if a rule rejects them by themselves, or if all of up to 1,000,000 completions are invalid.

    Args:
        name: Name of the search space.
        items: The choices of the space.
        free: The choices that may take any option; the others have their options in the first of ``known``.
        rules: The rules of the space.
        possible: Returns the architecture of an assignment, or None if a rule rejects it.
        known: Assignments of valid architectures where the walk may start.
    """

    def __init__(
        self,
        name: str,
        items: Sequence[Declared],
        free: Sequence[Declared],
        rules: Rules,
        possible: Callable[[Assignment], Any],
        known: Sequence[Assignment],
    ) -> None:
        self._name, self._items, self._free = name, tuple(items), list(free)
        self._rules, self._possible = rules, possible
        # ascending, so that a distance between two options is meaningful
        self._ordered = {
            item.choice.name: [item.choice.options[index] for index in ascending(item.choice.options)] for item in items
        }
        self._count = prod(len(item.choice.options) for item in free)
        self._known = [dict(assignment) for assignment in known]
        if self._count > _FEW:
            self._known += [assignment for assignment in self._diagonal() if possible(assignment) is not None]

    def around(self, given: Assignment, present: Sequence[Declared]) -> Any:
        """Return a valid architecture with these options; None if there is none.

        Args:
            given: Options by choice name.
            present: Choices of layers that must not be absent.

        Raises:
            SpaceError: None was found, but there may be one.
        """
        if self._count > _FEW:
            values = self._known[0] | dict(given)
            indices = {item.choice.name: item.choice.index(values[item.choice.name]) for item in self._items}
            if self._rules.refused_alone(indices, frozenset(given)):
                return None
            if (arch := self._walk(given, present)) is not None:
                return arch
        if self._count <= _MOST:
            return next(self._completions(given, present), None)
        options = ", ".join(f"{name}={option!r}" for name, option in given.items())
        raise SpaceError(
            f"{self._name}: no architecture with {options} was found in {_MOVES:,} steps, but there may be one; "
            "take out options that the rules never allow, or forbid this combination in a validator that reads "
            "nothing else"
        )

    def _completions(self, given: Assignment, present: Sequence[Declared]) -> Iterator[Any]:
        names = [item.choice.name for item in self._free]
        for options in product(*(reversed(self._ordered[name]) for name in names)):
            assignment = self._known[0] | dict(zip(names, options, strict=True)) | dict(given)
            arch = self._possible(assignment) if all(item.active(assignment) for item in present) else None
            if arch is not None:
                yield arch

    def _walk(self, given: Assignment, present: Sequence[Declared]) -> Any:
        rng = random.Random(0)
        movable = [item.choice for item in self._items if item in self._free or item.choice.name in given]

        def distance(assignment: Assignment) -> int:
            absent = sum(not item.active(assignment) for item in present)
            return absent + sum(self._steps_between(name, assignment[name], option) for name, option in given.items())

        here, moved = min(self._known, key=distance), True
        for _ in range(_MOVES):
            goal = here | dict(given)
            arch = self._possible(goal) if moved and all(item.active(goal) for item in present) else None
            if arch is not None:
                self._known.append(goal)
                return arch
            changed = rng.sample(movable, min(len(movable), rng.choice((1, 1, 2))))
            there = here | {choice.name: rng.choice(choice.options) for choice in changed}
            moved = there != here and distance(there) <= distance(here) and self._possible(there) is not None
            here = there if moved else here
        return None

    def _steps_between(self, name: str, one: Any, other: Any) -> int:
        ordered = self._ordered[name]
        return abs(ordered.index(one) - ordered.index(other))

    def _diagonal(self) -> Iterator[dict[str, Any]]:
        """Iterate over assignments with all choices at the same fraction of their range.

        They often satisfy rules that compare sizes.
        """
        last = max(map(len, self._ordered.values())) - 1
        for step in range(last + 1):
            yield {name: options[step * (len(options) - 1) // max(1, last)] for name, options in self._ordered.items()}
