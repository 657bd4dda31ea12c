"""Shrinking: from a random architecture to one within the budgets, which under tight ones hardly any sample meets."""

import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from elasticnas.space.schema import ascending

__all__ = ["Shrinking"]

_WALKED = 1000  # neighbours whose cost is asked for, by all walks together


class Shrinking:
    """Finds allowed architectures on random ways towards the smallest one.

    Args:
        space: A Space class.
        cost: Of an architecture; walks lead where it is lower.
        allowed: Whether an architecture meets the budgets.
        rng: Of ways and walks.
    """

    def __init__(
        self, space: Any, cost: Callable[[Any], float], allowed: Callable[[Any], bool], rng: random.Random
    ) -> None:
        self._space, self._cost, self._allowed, self._rng = space, cost, allowed, rng
        self._left = _WALKED
        self._ranks = {
            choice.name: {index: rank for rank, index in enumerate(ascending(choice.options))}
            for choice in space.choice_list()
        }
        self._goal = self._walked(space.smallest())

    def allowed_below(self, arch: Any) -> Iterator[Any]:
        """An architecture if it is allowed, else the first that is on a way to smaller ones, and others beyond."""
        if self._goal is None:
            self._goal = self._walked(arch)
        if self._goal is None:
            return
        way, first = self._way(arch), 0
        if not self._allowed(arch):
            self._cost(arch)  # raises where it is not finite: that is no architecture over its budget
            first = self._boundary(way)
        yield from filter(self._allowed, way[first:])
        if first and len(way) == 2 and (walked := self._walked(arch)) is not None:
            yield walked

    def _boundary(self, way: Sequence[Any]) -> int:
        """Where a way begins to be allowed, as if it then stayed so; few costs are asked for."""
        last, step = len(way) - 1, 1
        # from the end: where hardly anything is allowed, ways end alike, and those costs are known
        while last > step and self._allowed(way[last - step]):
            last, step = last - step, 2 * step
        return bisect_left(way, True, max(1, last - step + 1), last, key=self._allowed)

    def _way(self, arch: Any) -> list[Any]:
        """From an architecture to the goal, one choice at a time by random steps; what rules refuse is left out."""
        options, goal = self._space.choices(), self._space.indices(self._goal)
        here, way = self._space.indices(arch), [arch]
        steps = [(name, index) for name, ranks in self._ranks.items() for index in ranks]
        self._rng.shuffle(steps)
        for name, index in steps:
            if self._distance(name, index, goal[name]) < self._distance(name, here[name], goal[name]):
                here[name] = index
                made = self._space.info().possible({name: options[name][at] for name, at in here.items()})
                if made is not None and made != way[-1]:
                    way.append(made)
        return way

    def _distance(self, name: str, one: int, other: int) -> int:
        return abs(self._ranks[name][one] - self._ranks[name][other])

    def _walked(self, arch: Any) -> Any:
        """A random walk to cheaper neighbours until the budgets are met; None where it does not get there."""
        while arch is not None and not self._allowed(arch):
            now = self._cost(arch)
            cheaper = (other for other in self._tried(arch) if self._cost(other) < now)
            arch = next(cheaper, None)
        return arch

    def _tried(self, arch: Any) -> Iterator[Any]:
        for other in self._space.iterate_neighbours(arch, self._rng):
            if self._left == 0:
                return
            self._left -= 1
            yield other
