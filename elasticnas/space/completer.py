"""Completer: a valid architecture in which some choices are given."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from elasticnas.errors import SpaceError
from elasticnas.space.rules import Rules
from elasticnas.space.schema import Declared, ascending

__all__ = ["Completer"]

_FEW = 10_000  # completions gone through at once
_MOST = 1_000_000  # gone through where the walk finds nothing
_MOVES = 10_000

Assignment = Mapping[str, Any]


class Completer:
    """Finds valid architectures around given options.

    Few completions are gone through one by one. Where they are many, a walk over valid architectures leads from a known
    one towards the given options; it changes one or two choices at a time and never gets farther away. What it does
    not reach is impossible where a rule refuses it by itself, or no completion out of up to 1,000,000 is valid.

    Args:
        name: Of the search space.
        items: Its choices.
        free: Those that may take any option; all others stay as they are in the first that is known.
        rules: Its rules.
        possible: The architecture of an assignment; None where a rule forbids it.
        known: Assignments of valid architectures to start from.
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
        # from small to large, so that a distance between two options makes sense
        self._ordered = {
            item.choice.name: [item.choice.options[index] for index in ascending(item.choice.options)] for item in items
        }
        self._count = prod(len(item.choice.options) for item in free)
        self._known = [dict(assignment) for assignment in known]
        if self._count > _FEW:
            self._known += [assignment for assignment in self._diagonal() if possible(assignment) is not None]

    def around(self, given: Assignment, present: Sequence[Declared]) -> Any:
        """A valid architecture with these options; None where there is none.

        Args:
            given: Options by choice name.
            present: Choices that it must have: enough layers for them.

        Raises:
            SpaceError: None was found, and it is not certain that there is none.
        """
        if self._count > _FEW:
            values = self._known[0] | dict(given)
            indices = {item.choice.name: item.choice.index(values[item.choice.name]) for item in self._items}
            if self._rules.refused_alone(indices, frozenset(given)):
                return None
            if (arch := self._walk(given, present)) is not None:
                return arch
        if self._count <= _MOST:
            return next(self._every(given, present), None)
        wanted = ", ".join(f"{name}={option!r}" for name, option in given.items())
        raise SpaceError(
            f"{self._name}: no architecture with {wanted} was found in {_MOVES:,} steps, and whether there "
            "is one is not certain; take out options that the rules never allow, or forbid this combination in a "
            "validator that reads nothing else"
        )

    def _every(self, given: Assignment, present: Sequence[Declared]) -> Iterator[Any]:
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
            return absent + sum(self._apart(name, assignment[name], option) for name, option in given.items())

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

    def _apart(self, name: str, one: Any, other: Any) -> int:
        ordered = self._ordered[name]
        return abs(ordered.index(one) - ordered.index(other))

    def _diagonal(self) -> Iterator[dict[str, Any]]:
        """All choices at one share of their range, as rules that compare sizes allow."""
        last = max(map(len, self._ordered.values())) - 1
        for step in range(last + 1):
            yield {name: options[step * (len(options) - 1) // max(1, last)] for name, options in self._ordered.items()}
