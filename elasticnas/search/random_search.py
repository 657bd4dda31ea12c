"""Random search over a trained supernet: what any search has to beat."""

import random
from collections.abc import Callable
from typing import Any

from elasticnas.errors import SpaceError

__all__ = ["draw_allowed"]

_TRIES = 20


def draw_allowed(
    space: Any, count: int, cost: Callable[[Any], float], allowed: Callable[[Any], bool], seed: int
) -> list[Any]:
    """Up to ``count`` different random architectures that are allowed, all of them where the space has no more.

    Args:
        space: A Space class.
        count: How many to draw.
        cost: Of an architecture; draws that are not allowed walk to cheaper neighbours.
        allowed: Whether an architecture meets the budget.
        seed: The same seed draws the same architectures.
    """
    rng = random.Random(seed)
    try:
        small = space.size() <= 4096
    except SpaceError:
        small = False
    if small:
        every = [arch for arch in space.enumerate() if allowed(arch)]
        return rng.sample(every, min(count, len(every)))
    found: dict[Any, None] = {}
    for _ in range(count * _TRIES):
        if len(found) == count:
            break
        arch = _shrunk(space, space.sample(rng), cost, allowed, rng)
        if arch is not None:
            found[arch] = None
    return list(found)


def _shrunk(space: Any, arch: Any, cost: Callable[[Any], float], allowed: Callable[[Any], bool], rng: Any) -> Any:
    """A random walk to cheaper neighbours until the budget is met: under a tight one hardly any draw meets it."""
    while not allowed(arch):
        cheaper = [other for other in space.neighbours(arch) if cost(other) < cost(arch)]
        if not cheaper:
            return None
        arch = rng.choice(cheaper)
    return arch
