"""Local search along the Pareto front."""

import random
from typing import Any

from elasticnas.search.archive import Archive
from elasticnas.search.random_search import draw_allowed
from elasticnas.search.result import pareto

__all__ = ["local_search"]


def local_search(archive: Archive, space: Any, population: int, seed: int) -> None:
    """Evaluate neighbours of the front's candidates until the archive is full or nothing new is left nearby.

    Starts from random architectures within the budgets. Where every neighbour of the front is known, it draws others at
    random.

    Args:
        archive: Evaluates, and holds what was.
        space: The search space.
        population: How many random architectures it starts from.
        seed: Of everything drawn.

    Source: Pareto local search, Paquete, Chiarandini and Stützle, 2004.
    """
    rng = random.Random(seed)
    for arch in draw_allowed(space, min(population, archive.trials), archive.costs[0], archive.allows, seed):
        archive.evaluate(arch)
    while not archive.full:
        arch = _neighbour(archive, space, rng)
        if arch is None:
            rest = draw_allowed(space, archive.trials, archive.costs[0], archive.allows, rng.randrange(2**32))
            arch = next((other for other in rest if other not in archive.candidates), None)
        if arch is None:
            return
        archive.evaluate(arch)


def _neighbour(archive: Archive, space: Any, rng: random.Random) -> Any:
    """A random unknown neighbour of a random candidate of the front; None where there is none."""
    front = list(pareto(list(archive.candidates.values()), archive.metric, archive.maximise))
    rng.shuffle(front)
    for candidate in front:
        around = space.neighbours(candidate.architecture)
        rng.shuffle(around)
        for arch in around:
            if arch not in archive.candidates and archive.allows(arch):
                return arch
    return None
