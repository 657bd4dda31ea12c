"""Shrinking: change a random architecture until it is within tight budgets, which random samples rarely meet."""

import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from elasticnas.space.schema import ascending

__all__ = ["Shrinking"]

_MAX_NEIGHBOURS = 1000  # neighbours whose cost is computed, in all walks together


class Shrinking:
    """Finds allowed architectures on random paths towards the smallest one.

    Args:
        space: A Space class.
        cost: Returns the cost of an architecture; walks move to lower costs.
        allowed: Returns whether an architecture meets the budgets.
        rng: Random generator of paths and walks.
    """

    def __init__(
        self, space: Any, cost: Callable[[Any], float], allowed: Callable[[Any], bool], rng: random.Random
    ) -> None:
        self._space, self._cost, self._allowed, self._rng = space, cost, allowed, rng
        self._remaining = _MAX_NEIGHBOURS
        self._ranks = {
            choice.name: {index: rank for rank, index in enumerate(ascending(choice.options))}
            for choice in space.choice_list()
        }
        self._goal = self._walk(space.smallest())

    def allowed_below(self, arch: Any) -> Iterator[Any]:
        """Iterate over allowed architectures on a random path from an architecture to the smallest one.

        The first is the architecture itself, if it is allowed.
        """
        if self._goal is None:
            self._goal = self._walk(arch)
        if self._goal is None:
            return
        path, first = self._path(arch), 0
        if not self._allowed(arch):
            self._cost(arch)  # raises if the cost is not finite
            first = self._boundary(path)
        yield from filter(self._allowed, path[first:])
        if first and len(path) == 2 and (walked := self._walk(arch)) is not None:
            yield walked

    def _boundary(self, path: Sequence[Any]) -> int:
        """Return where a path begins to be allowed, by bisection: assumes that it is allowed from there on."""
        last, step = len(path) - 1, 1
        # from the end: with tight budgets, paths have common ends, whose costs are cached
        while last > step and self._allowed(path[last - step]):
            last, step = last - step, 2 * step
        return bisect_left(path, True, max(1, last - step + 1), last, key=self._allowed)

    def _path(self, arch: Any) -> list[Any]:
        """Return a random path to the goal that changes one choice at a time; invalid architectures are left out."""
        options, goal = self._space.choices(), self._space.indices(self._goal)
        here, path = self._space.indices(arch), [arch]
        steps = [(name, index) for name, ranks in self._ranks.items() for index in ranks]
        self._rng.shuffle(steps)
        for name, index in steps:
            if self._distance(name, index, goal[name]) < self._distance(name, here[name], goal[name]):
                here[name] = index
                made = self._space.info().possible({name: options[name][at] for name, at in here.items()})
                if made is not None and made != path[-1]:
                    path.append(made)
        return path

    def _distance(self, name: str, one: int, other: int) -> int:
        return abs(self._ranks[name][one] - self._ranks[name][other])

    def _walk(self, arch: Any) -> Any:
        """Walk randomly to cheaper neighbours until the budgets are met; None if it fails."""
        while arch is not None and not self._allowed(arch):
            current = self._cost(arch)
            cheaper = (other for other in self._neighbours(arch) if self._cost(other) < current)
            arch = next(cheaper, None)
        return arch

    def _neighbours(self, arch: Any) -> Iterator[Any]:
        for other in self._space.iterate_neighbours(arch, self._rng):
            if self._remaining == 0:
                return
            self._remaining -= 1
            yield other
