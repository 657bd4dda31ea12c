"""Searches in an Optuna study that several processes may share: NSGA-II, and evaluation of a list."""

import random
from collections.abc import Container, Iterable, Iterator
from typing import Any

from elasticnas.search.trials import Trials

__all__ = ["nsga2", "share"]


def nsga2(trials: Trials, drawn: Iterator[Any], population: int, seed: int) -> None:
    """Evolve until the archive is full or the space has nothing new within the budgets.

    The first population is random within the budgets. The trial of a combination that a rule forbids fails. One that
    exceeds a budget is infeasible and is not evaluated. One that is known, or that another process is evaluating, is
    not evaluated again. After a generation without anything new, a random architecture is added. What a process left
    when it stopped comes first.

    Args:
        trials: The trials of the study.
        drawn: Distinct random architectures within the budgets.
        population: Size of a generation.
        seed: Seed of the sampler.

    Source: NSGA-II, Deb et al., IEEE Transactions on Evolutionary Computation 6(2), 2002.
    """
    archive, study = trials.archive, trials.study
    random_archs, without_new, reseeded = _RandomArchitectures(drawn), 0, False
    study.sampler = _sampler(population, seed, 0)
    while True:
        trials.update()
        if archive.full:
            return
        if (left := trials.take_left()) is not None:
            trials.enqueue(left)
        elif len(archive.candidates) < population or without_new == population:
            arch, begun = random_archs.next(archive, trials.running())
            if arch is None:
                return
            if begun and trials.wait():
                continue
            trials.enqueue(arch, force=begun)
            without_new = 0
        trial = trials.ask()
        if not reseeded:  # the number is unique among all processes, also those before an interruption
            study.sampler, reseeded = _sampler(population, seed, trial.number), True
        without_new = 0 if trials.tell(trial) else without_new + 1


def share(trials: Trials, drawn: Iterable[Any]) -> None:
    """Evaluate architectures; several processes divide the work between them.

    Args:
        trials: The trials of the study; at the end its archive holds these architectures in this order.
        drawn: The architectures.
    """
    archs, archive = [], trials.archive
    for arch in drawn:
        archs.append(arch)
        trials.update()
        if arch not in archive and arch not in trials.running():
            trials.enqueue(arch)
            trials.tell(trials.ask(), queued_only=True)
    trials.update()
    while left := [arch for arch in archs if arch not in archive]:
        running = trials.running()
        free = next((arch for arch in left if arch not in running), None)
        if free is not None or not trials.wait():
            trials.enqueue(free or left[0], force=free is None)
            trials.tell(trials.ask(), queued_only=True)
        trials.update()
    archive.in_order(archs)


class _RandomArchitectures:
    """Random architectures; those that another process is evaluating come last."""

    def __init__(self, drawn: Iterator[Any]) -> None:
        self._drawn = drawn
        self._past: list[Any] = []

    def next(self, known: Container[Any], begun: Container[Any]) -> tuple[Any, bool]:
        """Return an architecture that is not known (None if there is none), and whether some process has begun it."""
        for arch in self._drawn:
            self._past.append(arch)
            if arch not in begun and arch not in known:
                return arch, False
        self._past = [arch for arch in self._past if arch not in known]
        free = next((arch for arch in self._past if arch not in begun), None)
        return (free, False) if free is not None else (next(iter(self._past), None), True)


def _sampler(population: int, seed: int, number: int) -> Any:
    import optuna

    mixed = random.Random(f"{seed} {number}").randrange(2**32)
    return optuna.samplers.NSGAIISampler(population_size=population, seed=mixed)
