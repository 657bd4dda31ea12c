"""Nearest: the valid combination of a component that is fewest steps away from its largest or smallest."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from elasticnas.space.component import Combination, Component, Indices
from elasticnas.space.schema import ascending
from elasticnas.space.seeking import climb, seek

__all__ = ["nearest"]

_TRIES = 20_000
_SETTLED = 100_000  # combinations at most as far as what climbing found: all are tried


class _Ranks:
    """How many steps each option that a component's choices may have is from the best one."""

    def __init__(self, component: Component, largest: bool) -> None:
        self.best_first: dict[str, list[int]] = {}
        self.of: dict[str, dict[int, int]] = {}
        for item in component.items:
            name, order = item.choice.name, ascending(item.choice.options, largest)
            allowed = {index: rank for rank, index in enumerate(order) if index in component.options[name]}
            self.of[name] = allowed or {order[0]: 0}  # of a layer that never is there, perhaps
            self.best_first[name] = list(self.of[name])
        self._component = component

    def distance(self, combination: Indices) -> tuple[int, list[int]]:
        """Steps in all and step by step; layers that are not there take none."""
        there = self._component.present(combination)
        steps = [self.of[name][combination[name]] if name in there else 0 for name in self.of]
        return sum(steps), steps

    def nearest_with(self, taken: Indices) -> Combination:
        """The nearest combination that has what was read on one way through the rules."""
        best = {name: options[0] for name, options in self.best_first.items()} | dict(taken)
        for group in self._component.groups:
            name = group.item.choice.name
            changes = [best | {name: index} for index, _ in self._component.branches(group, taken)]
            best = min(changes, key=self.distance)
        return best

    def outwards(self) -> Iterator[Combination]:
        """All combinations by their steps, the first choices at their best first."""
        names = list(self.of)
        most = [max(ranks.values()) for ranks in self.of.values()]
        room = [sum(most[position + 1 :]) for position in range(len(most))]
        options = [list(ranks.items()) for ranks in self.of.values()]
        for steps in range(sum(most) + 1):
            for indices in _summing(options, room, steps, 0):
                yield dict(zip(names, indices, strict=True))

    def within(self, steps: int) -> int:
        """Number of combinations at most so many steps away."""
        ways = [1] + [0] * steps
        for ranks in self.of.values():
            ways = [sum(ways[total - rank] for rank in ranks.values() if rank <= total) for total in range(steps + 1)]
        return sum(ways)


def nearest(component: Component, largest: bool) -> Combination | None:
    """The valid combination with the fewest steps from the extreme, the first choices nearest where several have it.

    It is exact where the ways through the rules can be listed, and where few combinations are nearer. Else it is one
    in which no choice by itself can get a better option.

    Args:
        component: The choices and their rules.
        largest: Whether the extreme is the largest option of every choice, or the smallest.

    Returns:
        None where none was found; where the ways can be listed, there is none.
    """
    ranks = _Ranks(component, largest)
    if component.listed is not None:
        return min(map(ranks.nearest_with, component.listed), key=ranks.distance, default=None)
    if (found := next(filter(component.is_valid, islice(ranks.outwards(), _TRIES)), None)) is not None:
        return found
    climbed = map(partial(climb, component, ranks.best_first), seek(component))
    best = min(climbed, key=ranks.distance, default=None)
    if best is not None and ranks.within(ranks.distance(best)[0]) <= _SETTLED:
        return next(filter(component.is_valid, ranks.outwards()))
    return best


def _summing(
    options: Sequence[Sequence[tuple[int, int]]], room: Sequence[int], steps: int, position: int
) -> Iterator[tuple[int, ...]]:
    """Indices of options, given with their steps, that take so many steps together.

    ``room`` is the steps that are left in the choices after each.
    """
    if position == len(options) - 1:
        yield from ((index,) for index, rank in options[position] if rank == steps)
        return
    for index, rank in options[position]:
        if rank <= steps <= rank + room[position]:
            for further in _summing(options, room, steps - rank, position + 1):
                yield (index, *further)
