"""Random search over a trained supernet: what any search has to beat."""

import random
from collections.abc import Callable
from typing import Any

from elasticnas.errors import SpaceError

__all__ = ["draw_allowed"]


def draw_allowed(space: Any, count: int, allowed: Callable[[Any], bool], seed: int) -> list[Any]:
    """Up to ``count`` different random architectures that are allowed, all of them where the space has no more.

    Args:
        space: A Space class.
        count: How many to draw.
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
    for _ in range(count * 200):
        if len(found) == count:
            break
        arch = space.sample(rng)
        if allowed(arch):
            found[arch] = None
    return list(found)
