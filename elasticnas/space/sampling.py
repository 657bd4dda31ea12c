"""Sampling: a valid combination of a component's options, each drawn uniformly and independently where rules allow."""

import random
from functools import cached_property

from elasticnas.space.component import Combination, Component
from elasticnas.space.seeking import seek, walk

__all__ = ["TRIES", "Sampler"]

TRIES = 10_000
"""Draws that are given up where none obeys the rules."""


class Sampler:
    """Draws from one component, in the first of three ways that works there.

    1. Rejection: uniform draws until one is valid. Exact.
    2. From the list of all ways through the rules, each as often as uniform draws would take it. Exact.
    3. A random walk over valid combinations: nearly uniform over those that it can reach.
    """

    def __init__(self, component: Component) -> None:
        self._component = component

    def draw(self, rng: random.Random) -> Combination | None:
        """A valid combination; None where none was found."""
        if not self._component.rules:
            return self._component.draw({}, rng) if self._component.weight({}) else None
        if self._is_frequent and (drawn := self._rejected(rng)) is not None:
            return drawn
        if self._component.listed is not None:
            return (
                self._component.draw(rng.choices(self._component.listed, self._weights)[0], rng)
                if self._weights
                else None
            )
        return walk(self._component, self._known, rng) if self._known else None

    @cached_property
    def _is_frequent(self) -> bool:
        # by draws of its own: what a caller's generator gives does not depend on who drew before
        return self._rejected(random.Random(0)) is not None

    @cached_property
    def _weights(self) -> list[int]:
        return [self._component.weight(taken) for taken in self._component.listed or ()]

    @cached_property
    def _known(self) -> list[Combination]:
        return seek(self._component)

    def _rejected(self, rng: random.Random) -> Combination | None:
        for _ in range(TRIES):
            drawn = {item.choice.name: rng.randrange(len(item.choice.options)) for item in self._component.items}
            if self._component.is_valid(drawn):
                return drawn
        return None
