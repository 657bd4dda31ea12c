"""Neighbours: valid architectures that are one change away."""

import random
from collections.abc import Iterator
from typing import Any

from elasticnas.space.info import SpaceInfo

__all__ = ["neighbours"]

Changes = list[dict[str, Any]]


def neighbours(info: SpaceInfo, arch: Any, rng: random.Random | None) -> Iterator[Any]:
    """Iterate over the valid architectures that differ in one choice; if there are none, in two tied choices.

    Args:
        info: Information about the space.
        arch: The architecture.
        rng: Shuffles the neighbours; None for the order of declaration.
    """
    singles = [{choice.name: option} for choice in info.choices for option in choice.options]
    found = False
    for neighbour in _distinct(info, arch, singles, rng):
        found = True
        yield neighbour
    if not found:
        yield from _distinct(info, arch, _pairs(info), rng)


def _pairs(info: SpaceInfo) -> Changes:
    tied = [item.choice for item in info.architectures.tied]
    pairs = [(one, other) for one in tied for other in tied if one is not other]
    return [{one.name: x, other.name: y} for one, other in pairs for x in one.options for y in other.options]


def _distinct(info: SpaceInfo, arch: Any, changes: Changes, rng: random.Random | None) -> Iterator[Any]:
    if rng is not None:
        rng.shuffle(changes)
    values, seen = info.membership.values(arch), {info.key(arch)}
    for change in changes:
        other = info.possible(values | change)
        if other is not None and (key := info.key(other)) not in seen:
            seen.add(key)
            yield other
