"""Sampling: draw a valid combination of a component, each option uniform and independent as far as rules allow."""

import random
from functools import cached_property

from elasticnas.space.component import Combination, Component
from elasticnas.space.seeking import seek, walk

__all__ = ["TRIES", "Sampler"]

TRIES = 10_000
"""Most draws of rejection sampling."""


class Sampler:
    """Draws valid combinations of one component by the first of these methods that works.

    1. Rejection sampling from uniform draws. Exact.
    2. A draw from the list of all paths through the rules, with the probabilities of rejection sampling. Exact.
    3. A random walk over valid combinations. Nearly uniform over the combinations that the walk can reach.
    """

    def __init__(self, component: Component) -> None:
        self._component = component

    def draw(self, rng: random.Random) -> Combination | None:
        """Draw a valid combination; None if none was found."""
        if not self._component.rules:
            return self._component.draw({}, rng) if self._component.weight({}) else None
        if self._rejection_works and (drawn := self._draw_by_rejection(rng)) is not None:
            return drawn
        if self._component.listed is not None:
            return (
                self._component.draw(rng.choices(self._component.listed, self._weights)[0], rng)
                if self._weights
                else None
            )
        return walk(self._component, self._known, rng) if self._known else None

    @cached_property
    def _rejection_works(self) -> bool:
        # a separate generator, so that the caller's draws do not depend on whether this was computed before
        return self._draw_by_rejection(random.Random(0)) is not None

    @cached_property
    def _weights(self) -> list[int]:
        return [self._component.weight(taken) for taken in self._component.listed or ()]

    @cached_property
    def _known(self) -> list[Combination]:
        return seek(self._component)

    def _draw_by_rejection(self, rng: random.Random) -> Combination | None:
        for _ in range(TRIES):
            drawn = self._component.canonical(
                {item.choice.name: rng.randrange(len(item.choice.options)) for item in self._component.items}
            )
            if self._component.is_valid(drawn):
                return drawn
        return None
