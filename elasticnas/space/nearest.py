"""Nearest: find the valid combination of a component with the fewest steps from its largest or smallest options."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from elasticnas.space.component import Combination, Component, Indices
from elasticnas.space.schema import ascending
from elasticnas.space.seeking import climb, seek

__all__ = ["nearest"]

_TRIES = 20_000  # combinations tried first, nearest first
_MAX_TRIED = 100_000  # all combinations not farther than the result of climbing are tried if there are fewer


class _Ranks:
    """The rank of each allowed option of a component's choices: its number of steps from the best option."""

    def __init__(self, component: Component, largest: bool) -> None:
        self.best_first: dict[str, list[int]] = {}
        self.of: dict[str, dict[int, int]] = {}
        for item in component.items:
            name, order = item.choice.name, ascending(item.choice.options, largest)
            allowed = {index: rank for rank, index in enumerate(order) if index in component.options[name]}
            self.of[name] = allowed or {order[0]: 0}  # a layer without allowed options may always be absent
            self.best_first[name] = list(self.of[name])
        self._component = component

    def distance(self, combination: Indices) -> tuple[int, list[int]]:
        """Return the total number of steps and the steps of each choice; absent layers count 0."""
        present = self._component.present(combination)
        steps = [self.of[name][combination[name]] if name in present else 0 for name in self.of]
        return sum(steps), steps

    def nearest_with(self, taken: Indices) -> Combination:
        """Return the nearest combination with these options."""
        best = {name: options[0] for name, options in self.best_first.items()} | dict(taken)
        for group in self._component.groups:
            name = group.item.choice.name
            changes = [best | {name: index} for index, _ in self._component.branches(group, taken)]
            best = min(changes, key=self.distance)
        return best

    def outwards(self) -> Iterator[Combination]:
        """Iterate over all combinations in order of total steps; among equals, the first choices are best first."""
        names = list(self.of)
        most = [max(ranks.values()) for ranks in self.of.values()]
        room = [sum(most[position + 1 :]) for position in range(len(most))]
        options = [list(ranks.items()) for ranks in self.of.values()]
        for steps in range(sum(most) + 1):
            for indices in _summing(options, room, steps, 0):
                yield dict(zip(names, indices, strict=True))

    def within(self, steps: int) -> int:
        """Return the number of combinations with at most so many steps."""
        ways = [1] + [0] * steps
        for ranks in self.of.values():
            ways = [sum(ways[total - rank] for rank in ranks.values() if rank <= total) for total in range(steps + 1)]
        return sum(ways)


def nearest(component: Component, largest: bool) -> Combination | None:
    """Return the valid combination with the fewest steps from the extreme; ties prefer the first choices.

    The result is exact if the paths through the rules can be listed or if few combinations are nearer. Otherwise it is
    a local optimum: no single choice can get a better option.

    Args:
        component: The choices and their rules.
        largest: Whether the extreme is the largest option of every choice, or the smallest.

    Returns:
        The combination; None if none was found. If the paths can be listed, None means that there is none.
    """
    ranks = _Ranks(component, largest)
    if component.listed is not None:
        return min(map(ranks.nearest_with, component.listed), key=ranks.distance, default=None)
    if (found := next(filter(component.is_valid, islice(ranks.outwards(), _TRIES)), None)) is not None:
        return found
    climbed = map(partial(climb, component, ranks.best_first), seek(component))
    best = min(climbed, key=ranks.distance, default=None)
    if best is not None and ranks.within(ranks.distance(best)[0]) <= _MAX_TRIED:
        return next(filter(component.is_valid, ranks.outwards()))
    return best


def _summing(
    options: Sequence[Sequence[tuple[int, int]]], room: Sequence[int], steps: int, position: int
) -> Iterator[tuple[int, ...]]:
    """Iterate over the tuples of option indices whose ranks sum to ``steps``, from a position on.

    Args:
        options: Pairs of option index and rank, by choice.
        room: Sum of the largest ranks of all later choices, by choice.
        steps: The sum.
        position: The first choice.
    """
    if position == len(options) - 1:
        yield from ((index,) for index, rank in options[position] if rank == steps)
        return
    for index, rank in options[position]:
        if rank <= steps <= rank + room[position]:
            for further in _summing(options, room, steps - rank, position + 1):
                yield (index, *further)
