"""Searches in an Optuna study that several processes may share: NSGA-II, and evaluation of a list."""

import random
from collections.abc import Container, Iterable, Iterator
from typing import Any

from elasticnas.errors import ArchitectureError
from elasticnas.search.archive import Archive
from elasticnas.search.storage import ARCHITECTURE, CANDIDATE, FAILURE, Stored, labels

__all__ = ["nsga2", "share"]

_QUEUED = "elasticnas queued"  # user attribute of an enqueued trial: its options
_FORCED = "elasticnas anyhow"  # user attribute: evaluate even if another process, which may have died, is running it


def nsga2(study: Any, archive: Archive, space: Any, drawn: Iterator[Any], population: int, seed: int) -> None:
    """Evolve until the archive is full or the space has nothing new within the budgets.

    The first population is random within the budgets. The trial of a combination that a rule forbids fails. One that
    exceeds a budget is infeasible and is not evaluated. One that is known, or that another process is evaluating, is
    not evaluated again. After a generation without anything new, a random architecture is added.

    Args:
        study: The Optuna study.
        archive: Evaluates, and holds the evaluated candidates.
        space: The search space.
        drawn: Distinct random architectures within the budgets.
        population: Size of a generation.
        seed: Seed of the sampler.

    Source: NSGA-II, Deb et al., IEEE Transactions on Evolutionary Computation 6(2), 2002.
    """
    random_archs, trials, without_new, reseeded = _RandomArchitectures(drawn), Stored(study, space), 0, False
    study.sampler = _sampler(population, seed, 0)
    while True:
        archive.add(*trials.new())  # what other processes have evaluated
        if archive.full:
            return
        if len(archive.candidates) < population or without_new == population:
            arch, force = random_archs.next(archive, _running(study, space))
            if arch is None:
                return
            _enqueue(study, space, arch, force)
            without_new = 0
        trial = study.ask()
        if not reseeded:  # the number is unique among all processes, also those before an interruption
            study.sampler, reseeded = _sampler(population, seed, trial.number), True
        without_new = 0 if _tell(study, trial, archive, space, trials) else without_new + 1


def share(study: Any, archive: Archive, space: Any, drawn: Iterable[Any]) -> None:
    """Evaluate architectures; several processes divide the work between them.

    Args:
        study: The Optuna study.
        archive: Evaluates; at the end it holds these architectures in this order.
        space: The search space.
        drawn: The architectures.
    """
    archs, trials = [], Stored(study, space)
    for arch in drawn:
        archs.append(arch)
        archive.add(*trials.new())
        if arch not in archive and arch not in _running(study, space):
            _enqueue(study, space, arch)
            _tell(study, study.ask(), archive, space, trials, queued_only=True)
    archive.add(*trials.new())
    while left := [arch for arch in archs if arch not in archive]:
        _enqueue(study, space, left[0], force=True)
        _tell(study, study.ask(), archive, space, trials, queued_only=True)
        archive.add(*trials.new())
    archive.in_order(archs)


def _tell(study: Any, trial: Any, archive: Archive, space: Any, trials: Stored, queued_only: bool = False) -> bool:
    """Evaluate the architecture of a trial if needed and tell the study; return whether it was new."""
    try:
        queued = _QUEUED in trial.user_attrs
        named = {c.name: labels(c) for c in space.choice_list()}
        arch = _from_labels(space, {name: trial.suggest_categorical(name, options) for name, options in named.items()})
        begun = not trial.user_attrs.get(_FORCED) and arch in _running(study, space, trial.number)
        if arch is None or begun or (queued_only and not queued):
            study.tell(trial, state=_state("FAIL"))
            return False
        trial.set_user_attr(ARCHITECTURE, arch.model_dump(mode="json"))
        allowed = archive.limits.allows(arch)
        for name, value in zip(archive.limits.budgets, archive.limits.violations(arch), strict=True):
            trial.set_constraint(f"budget {name}", min(0.0, value) if allowed else value)
        if not allowed:
            study.tell(trial, [*archive.costs_of(arch).values(), 0.0])
            return False
        archive.add(*trials.new())  # after the check for running trials: one may have ended in between
        new = arch not in archive
        candidate = archive.evaluate(arch)
        if candidate is None:
            if new:
                trial.set_user_attr(FAILURE, archive.failure(arch).model_dump(mode="json"))
            study.tell(trial, state=_state("FAIL"))
            return new
        if new:
            trial.set_user_attr(CANDIDATE, candidate.model_dump(mode="json"))
        study.tell(trial, archive.objectives(candidate))
        return new
    except BaseException:  # Ctrl-C too: do not leave the trial running
        if trial.number in {t.number for t in study.get_trials(deepcopy=False, states=(_state("RUNNING"),))}:
            study.tell(trial, state=_state("FAIL"))
        raise


class _RandomArchitectures:
    """Random architectures; those that another process is evaluating come last."""

    def __init__(self, drawn: Iterator[Any]) -> None:
        self._drawn = drawn
        self._postponed: list[Any] = []

    def next(self, known: Container[Any], begun: Container[Any]) -> tuple[Any, bool]:
        """Return an architecture that is not known (None if there is none), and whether some process has begun it."""
        for arch in self._drawn:
            if arch in begun:
                self._postponed.append(arch)
            elif arch not in known:
                return arch, False
        return next((arch for arch in self._postponed if arch not in known), None), True


def _enqueue(study: Any, space: Any, arch: Any, force: bool = False) -> None:
    indices = space.indices(arch)
    options = {choice.name: labels(choice)[indices[choice.name]] for choice in space.choice_list()}
    study.enqueue_trial(options, user_attrs={_QUEUED: options, _FORCED: force})


def _running(study: Any, space: Any, before: float = float("inf")) -> set[Any]:
    """Return the architectures of running trials with a lower number."""
    running = study.get_trials(deepcopy=False, states=(_state("RUNNING"),))
    return {_arch_of(space, trial) for trial in running if trial.number < before} - {None}


def _arch_of(space: Any, trial: Any) -> Any:
    return _from_labels(space, trial.user_attrs.get(_QUEUED, trial.params))


def _from_labels(space: Any, labelled: dict[str, Any]) -> Any:
    """Return the architecture of labelled options; None if a rule forbids it or the trial does not have all options."""
    try:
        chosen = {c.name: c.options[labels(c).index(labelled[c.name])] for c in space.choice_list()}
        return space.from_assignment(chosen)
    except (ArchitectureError, KeyError):
        return None


def _sampler(population: int, seed: int, number: int) -> Any:
    import optuna

    mixed = random.Random(f"{seed} {number}").randrange(2**32)
    return optuna.samplers.NSGAIISampler(population_size=population, seed=mixed)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]
