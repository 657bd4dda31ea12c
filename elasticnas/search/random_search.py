"""Random search over a trained supernet: what any search has to beat."""

import random
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from math import prod
from typing import Any

from elasticnas.search.shrinking import Shrinking

__all__ = ["draw_allowed", "draws"]

_LISTED = 4096  # combinations that are put in random order; of more, architectures are sampled
_FRUITLESS = 200  # samples in a row with nothing new that is allowed, after which there is taken to be no more


def draws(
    space: Any,
    cost: Callable[[Any], float],
    allowed: Callable[[Any], bool],
    seed: int,
    same: Callable[[Any], Hashable] = lambda arch: arch,
) -> Iterator[Any]:
    """Different random architectures that are allowed, until the space has no more.

    One by one: nothing is costed before it is asked for.

    Args:
        space: A Space class.
        cost: Of an architecture, or how far it is over its budgets: lower is nearer to what is allowed.
        allowed: Whether an architecture meets the budgets.
        seed: The same seed draws the same architectures.
        same: Equal for architectures of which only the first drawn is wanted, as those of the same network.
    """
    rng, found = random.Random(seed), set[Hashable]()

    def is_new(arch: Any) -> bool:
        known = len(found)
        found.add(same(arch))
        return len(found) > known

    if prod(len(choice.options) for choice in space.choice_list()) <= _LISTED:
        every = list(space.enumerate())
        yield from filter(is_new, filter(allowed, rng.sample(every, len(every))))
        return
    shrinking, fruitless = Shrinking(space, cost, allowed, rng), 0
    while fruitless < _FRUITLESS:
        arch = next(filter(is_new, shrinking.allowed_below(space.sample(rng))), None)
        fruitless = 0 if arch is not None else fruitless + 1
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
    """The first ``count`` of :func:`draws`, all of them where the space has no more."""
    return list(islice(draws(space, cost, allowed, seed, same), count))
