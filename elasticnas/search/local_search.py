"""Pareto local search."""

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

from elasticnas.search.archive import Archive

__all__ = ["local_search"]


def local_search(archive: Archive, space: Any, drawn: Iterator[Any], population: int, seed: int) -> None:
    """Evaluate neighbours of candidates on the front until the archive is full or nothing new is left.

    Starts from random architectures. If all neighbours of the front are known, another random one is evaluated.

    Args:
        archive: Evaluates, and holds the evaluated candidates.
        space: The search space.
        drawn: Random architectures within the budgets.
        population: Number of random architectures at the start.
        seed: Seed of the choice of neighbours.

    Source: Pareto local search, Paquete, Chiarandini and Stützle, 2004.
    """
    rng = random.Random(seed)
    for arch in islice(drawn, min(population, archive.trials)):
        archive.evaluate(arch)
    while not archive.full:
        arch = _neighbour(archive, space, rng)
        if arch is None:
            arch = next((other for other in drawn if other not in archive), None)
        if arch is None:
            return
        archive.evaluate(arch)


def _neighbour(archive: Archive, space: Any, rng: random.Random) -> Any:
    """Return a new random neighbour of a random candidate on the front; None if there is none."""
    front = list(archive.outcome.front(list(archive.candidates.values())))
    rng.shuffle(front)
    for candidate in front:
        for arch in space.iterate_neighbours(candidate.architecture, rng):
            if arch not in archive and archive.limits.allows(arch):
                return arch
    return None
