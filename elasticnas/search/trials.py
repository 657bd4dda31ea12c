"""Trials of an Optuna study that several processes may share: enqueued, evaluated, told, and taken over."""

import time
from contextlib import suppress
from typing import Any

from elasticnas.errors import ArchitectureError
from elasticnas.runtime import warn
from elasticnas.search.archive import Archive
from elasticnas.search.result import Candidate, Failure
from elasticnas.search.storage import (
    ARCHITECTURE,
    CANDIDATE,
    FAILURE,
    INTERRUPTED,
    Stored,
    add_trial,
    labels,
    require_optuna,
)
from elasticnas.search.workers import POLL_SECONDS, Workers, quiet

__all__ = ["Trials"]

_QUEUED = "elasticnas queued"  # user attribute of an enqueued trial: its options
_FORCED = "elasticnas anyhow"  # user attribute: evaluate even if another process, which may have died, is running it
_MAX_DEATHS = 3  # an architecture that ends so many processes, by its memory for instance, counts as failed


class Trials:
    """Evaluates the trials of one search, and takes over those of processes that stopped.

    Args:
        study: The Optuna study.
        archive: Evaluates, and holds the evaluated candidates.
        space: The search space.
        workers: Knows the processes of the study.
    """

    def __init__(self, study: Any, archive: Archive, space: Any, workers: Workers) -> None:
        self.study, self.archive, self._space, self._workers = study, archive, space, workers
        self._stored = Stored(study, space)
        self._left: list[Any] = []
        self._named = {choice.name: labels(choice) for choice in space.choice_list()}

    def update(self) -> None:
        """Add what other processes have evaluated, and fail the trials of those that died."""
        self._workers.fail_dead()
        self._add_new()
        for arch, deaths in self._stored.take_left():
            if arch in self.archive or not self.archive.limits.allows(arch):
                continue
            if deaths >= max(_MAX_DEATHS, self.archive.retries + 1):
                self._give_up(arch, deaths)
            else:
                self._left.append(arch)

    def take_left(self) -> Any:
        """Return an architecture whose evaluation another process has left; None if there is none."""
        running = self.running()
        self._left = [arch for arch in self._left if arch not in self.archive and arch not in running]
        return self._left.pop(0) if self._left else None

    def wait(self) -> bool:
        """Wait a moment for other processes; return False if the storage does not show when one of them dies."""
        if self._workers.detects:
            time.sleep(POLL_SECONDS)
        return self._workers.detects

    def running(self, before: float = float("inf")) -> set[Any]:
        """Return the architectures of running trials with a lower number."""
        return {self._arch_of(trial) for trial in self._running() if trial.number < before} - {None}

    def enqueue(self, arch: Any, force: bool = False) -> None:
        """Let the next trial propose an architecture.

        Args:
            arch: The architecture.
            force: Evaluate it even if another process is evaluating it.
        """
        indices = self._space.indices(arch)
        options = {name: named[indices[name]] for name, named in self._named.items()}
        self.study.enqueue_trial(options, user_attrs={_QUEUED: options, _FORCED: force})

    def ask(self) -> Any:
        """Return the next trial."""
        with quiet():
            return self.study.ask()

    def tell(self, trial: Any, queued_only: bool = False) -> bool:
        """Evaluate the architecture of a trial if needed and tell the study; return whether it was new."""
        with self._workers.evaluating(trial):
            try:
                return self._evaluate(trial, queued_only)
            except require_optuna().exceptions.UpdateFinishedTrialError:
                return False  # another process has taken it over, since this one did not answer for long
            except BaseException:  # Ctrl-C too: do not leave the trial running
                if trial.number in {running.number for running in self._running()}:
                    self._interrupt(trial)
                raise

    def _evaluate(self, trial: Any, queued_only: bool) -> bool:
        queued = _QUEUED in trial.user_attrs
        arch = self._from_labels({name: trial.suggest_categorical(name, named) for name, named in self._named.items()})
        begun = not trial.user_attrs.get(_FORCED) and arch in self.running(trial.number)
        self._add_new()  # after the check for running trials: one may have ended in between
        if arch is None or begun or (queued_only and not queued) or self.archive.has_failed(arch):
            self.study.tell(trial, state=_state("FAIL"))
            return False
        trial.set_user_attr(ARCHITECTURE, arch.model_dump(mode="json"))
        limits = self.archive.limits
        allowed = limits.allows(arch)
        for name, value in zip(limits.budgets, limits.violations(arch), strict=True):
            trial.set_constraint(f"budget {name}", min(0.0, value) if allowed else value)
        if not allowed:
            self.study.tell(trial, [*self.archive.costs_of(arch).values(), 0.0])
            return False
        new = arch not in self.archive
        self._tell(trial, self.archive.evaluate(arch) or self.archive.failure(arch), new)
        return new

    def _tell(self, trial: Any, evaluated: "Candidate[Any] | Failure[Any]", new: bool) -> None:
        values = self.archive.objectives(evaluated) if isinstance(evaluated, Candidate) else None
        try:
            if new:
                trial.set_user_attr(FAILURE if values is None else CANDIDATE, evaluated.model_dump(mode="json"))
            self.study.tell(trial, values, _state("FAIL") if values is None else None)
        except require_optuna().exceptions.UpdateFinishedTrialError:  # taken over by another process: keep ours
            if new:
                add_trial(self.study, self._space, evaluated, values)

    def _interrupt(self, trial: Any) -> None:
        with suppress(require_optuna().exceptions.UpdateFinishedTrialError):
            trial.set_user_attr(INTERRUPTED, True)
            self.study.tell(trial, state=_state("FAIL"))

    def _give_up(self, arch: Any, deaths: int) -> None:
        message = f"its process died in {deaths} evaluations"
        failure: Failure[Any] = Failure(architecture=arch, message=message, attempts=deaths)
        add_trial(self.study, self._space, failure, None)
        warn(f"the evaluation of {arch!r} failed: {message}")
        self._add_new()

    def _add_new(self) -> None:
        self.archive.add(*self._stored.new())

    def _running(self) -> list[Any]:
        running: list[Any] = self.study.get_trials(deepcopy=False, states=(_state("RUNNING"),))
        return running

    def _arch_of(self, trial: Any) -> Any:
        return self._from_labels(trial.user_attrs.get(_QUEUED, trial.params))

    def _from_labels(self, labelled: dict[str, Any]) -> Any:
        """Return the architecture of labelled options; None if a rule forbids it or options are missing."""
        try:
            chosen = {c.name: c.options[self._named[c.name].index(labelled[c.name])] for c in self._space.choice_list()}
            return self._space.from_assignment(chosen)
        except (ArchitectureError, KeyError):
            return None


def _state(name: str) -> Any:
    return require_optuna().trial.TrialState[name]
