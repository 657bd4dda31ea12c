"""Searches in an Optuna study, which several processes may share: NSGA-II, and a list to be evaluated."""

import random
from collections.abc import Container, Iterable, Iterator
from typing import Any

from elasticnas.errors import ArchitectureError
from elasticnas.search.archive import Archive
from elasticnas.search.storage import ARCHITECTURE, CANDIDATE, FAILURE, Stored, labels

__all__ = ["nsga2", "share"]

_QUEUED = "elasticnas queued"  # the options, of a trial that was put in the queue
_ANYHOW = "elasticnas anyhow"  # evaluated even if another process has begun it, which may be gone


def nsga2(study: Any, archive: Archive, space: Any, drawn: Iterator[Any], population: int, seed: int) -> None:
    """Evolve until the archive is full or the space has nothing new within the budgets.

    The first population is random within the budgets. A combination that a rule forbids fails its trial; one over a
    budget takes part as infeasible, without an evaluation; one that is known, or that another process has begun, is
    not evaluated again. Where a whole generation brings nothing new, a random architecture comes in.

    Args:
        study: Of Optuna.
        archive: Evaluates, and holds what was.
        space: The search space.
        drawn: Random architectures within the budgets, each once.
        population: Size of a generation.
        seed: Of the crossovers.

    Source: NSGA-II, Deb et al., IEEE Transactions on Evolutionary Computation 6(2), 2002.
    """
    others, trials, fruitless, apart = _Others(drawn), Stored(study, space), 0, False
    study.sampler = _sampler(population, seed, 0)
    while True:
        archive.add(*trials.new())  # what other processes have evaluated
        if archive.full:
            return
        if len(archive.candidates) < population or fruitless == population:
            arch, anyhow = others.next(archive, _begun(study, space))
            if arch is None:
                return
            _enqueue(study, space, arch, anyhow)
            fruitless = 0
        trial = study.ask()
        if not apart:  # of all processes, and of those before an interruption, only this one has this number
            study.sampler, apart = _sampler(population, seed, trial.number), True
        fruitless = 0 if _tell(study, trial, archive, space, trials) else fruitless + 1


def share(study: Any, archive: Archive, space: Any, drawn: Iterable[Any]) -> None:
    """Evaluate architectures; where other processes do the same, each takes what no other has begun.

    Args:
        study: Of Optuna.
        archive: Evaluates, and in the end holds these architectures in this order.
        space: The search space.
        drawn: What to evaluate.
    """
    archs, trials = [], Stored(study, space)
    for arch in drawn:
        archs.append(arch)
        archive.add(*trials.new())
        if arch not in archive and arch not in _begun(study, space):
            _enqueue(study, space, arch)
            _tell(study, study.ask(), archive, space, trials, queued_only=True)
    archive.add(*trials.new())
    while left := [arch for arch in archs if arch not in archive]:
        _enqueue(study, space, left[0], anyhow=True)
        _tell(study, study.ask(), archive, space, trials, queued_only=True)
        archive.add(*trials.new())
    archive.in_order(archs)


def _tell(study: Any, trial: Any, archive: Archive, space: Any, trials: Stored, queued_only: bool = False) -> bool:
    """Evaluate what a trial proposes unless that is needless, and tell the study; whether it was new."""
    try:
        queued = _QUEUED in trial.user_attrs
        named = {c.name: labels(c) for c in space.choice_list()}
        arch = _built(space, {name: trial.suggest_categorical(name, options) for name, options in named.items()})
        begun = not trial.user_attrs.get(_ANYHOW) and arch in _begun(study, space, trial.number)
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
        archive.add(*trials.new())  # after the look at what is running, lest something ends in between
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
    except BaseException:  # Ctrl-C too: no trial is left running
        if trial.number in {t.number for t in study.get_trials(deepcopy=False, states=(_state("RUNNING"),))}:
            study.tell(trial, state=_state("FAIL"))
        raise


class _Others:
    """Random architectures; those that another process has begun come last."""

    def __init__(self, drawn: Iterator[Any]) -> None:
        self._drawn = drawn
        self._passed: list[Any] = []

    def next(self, known: Container[Any], begun: Container[Any]) -> tuple[Any, bool]:
        """One that is not known, None where there is no more; and whether it was begun, perhaps by one that is gone."""
        for arch in self._drawn:
            if arch in begun:
                self._passed.append(arch)
            elif arch not in known:
                return arch, False
        return next((arch for arch in self._passed if arch not in known), None), True


def _enqueue(study: Any, space: Any, arch: Any, anyhow: bool = False) -> None:
    indices = space.indices(arch)
    options = {choice.name: labels(choice)[indices[choice.name]] for choice in space.choice_list()}
    study.enqueue_trial(options, user_attrs={_QUEUED: options, _ANYHOW: anyhow})


def _begun(study: Any, space: Any, before: float = float("inf")) -> set[Any]:
    """Architectures of running trials with a lower number."""
    running = study.get_trials(deepcopy=False, states=(_state("RUNNING"),))
    return {_arch_of(space, trial) for trial in running if trial.number < before} - {None}


def _arch_of(space: Any, trial: Any) -> Any:
    return _built(space, trial.user_attrs.get(_QUEUED, trial.params))


def _built(space: Any, labelled: dict[str, Any]) -> Any:
    """The architecture; None for one that a rule forbids, or of a trial that has just begun."""
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
