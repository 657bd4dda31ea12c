"""Random search over a trained supernet: what any search has to beat."""

import random
from collections.abc import Callable, Iterator
from itertools import islice
from math import prod
from typing import Any

__all__ = ["draw_allowed", "draws"]

_LISTED = 4096  # combinations that are put in random order; of more, architectures are sampled
_FRUITLESS = 200  # samples in a row with nothing new that is allowed, after which there is taken to be no more


def draws(
    space: Any, cost: Callable[[Any], float], allowed: Callable[[Any], bool], seed: int, same: Any = None
) -> Iterator[Any]:
    """Different random architectures that are allowed, until the space has no more.

    One by one: nothing is costed before it is asked for.

    Args:
        space: A Space class.
        cost: Of an architecture; samples that are not allowed walk to cheaper neighbours.
        allowed: Whether an architecture meets the budget.
        seed: The same seed draws the same architectures.
    """
    rng = random.Random(seed)
    if prod(len(choice.options) for choice in space.choice_list()) <= _LISTED:
        every = list(space.enumerate())
        yield from filter(allowed, rng.sample(every, len(every)))
        return
    found: set[Any] = set()
    fruitless = 0
    while fruitless < _FRUITLESS:
        arch = _shrunk(space, space.sample(rng), cost, allowed, rng)
        new = arch is not None and arch not in found
        fruitless = 0 if new else fruitless + 1
        if new:
            found.add(arch)
            yield arch
    if not found and allowed(space.smallest()):
        yield space.smallest()


def draw_allowed(
    space: Any, count: int, cost: Callable[[Any], float], allowed: Callable[[Any], bool], seed: int
) -> list[Any]:
    """The first ``count`` of :func:`draws`, all of them where the space has no more."""
    return list(islice(draws(space, cost, allowed, seed), count))


def _shrunk(space: Any, arch: Any, cost: Callable[[Any], float], allowed: Callable[[Any], bool], rng: Any) -> Any:
    """A random walk to cheaper neighbours until the budget is met: under a tight one hardly any sample meets it."""
    while not allowed(arch):
        now = cost(arch)
        arch = next((other for other in space.iterate_neighbours(arch, rng) if cost(other) < now), None)
        if arch is None:
            return None
    return arch
