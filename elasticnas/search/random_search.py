"""Random draws of architectures within budgets, the baseline of every search."""

import random
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from math import prod
from typing import Any

from elasticnas.search.shrinking import Shrinking

__all__ = ["draw_allowed", "draws"]

_LISTED = 4096  # most combinations that are listed and shuffled; larger spaces are sampled
_MAX_FAILURES = 200  # consecutive samples without a new allowed architecture before the draws end


def draws(
    space: Any,
    cost: Callable[[Any], float],
    allowed: Callable[[Any], bool],
    seed: int,
    same: Callable[[Any], Hashable] = lambda arch: arch,
) -> Iterator[Any]:
    """Iterate over distinct random architectures that are allowed, until no new one is found.

    It is lazy: costs are computed only as far as it is consumed.

    Args:
        space: A Space class.
        cost: Returns a cost or an excess over budgets; lower is closer to allowed.
        allowed: Returns whether an architecture meets the budgets.
        seed: The same seed draws the same architectures.
        same: Returns a key; of architectures with equal keys, such as those of the same network, only one is drawn.
    """
    rng, found = random.Random(seed), set[Hashable]()

    def is_new(arch: Any) -> bool:
        before = len(found)
        found.add(same(arch))
        return len(found) > before

    if prod(len(choice.options) for choice in space.choice_list()) <= _LISTED:
        every = list(space.enumerate())
        yield from filter(is_new, filter(allowed, rng.sample(every, len(every))))
        return
    shrinking, failures = Shrinking(space, cost, allowed, rng), 0
    while failures < _MAX_FAILURES:
        arch = next(filter(is_new, shrinking.allowed_below(space.sample(rng))), None)
        failures = 0 if arch is not None else failures + 1
        if arch is not None:
            yield arch


def draw_allowed(
    space: Any,
    count: int,
    cost: Callable[[Any], float],
    allowed: Callable[[Any], bool],
    seed: int,
    same: Callable[[Any], Hashable] = lambda arch: arch,
) -> list[Any]:
    """Return the first ``count`` architectures of :func:`draws`, or fewer if there are no more."""
    return list(islice(draws(space, cost, allowed, seed, same), count))
