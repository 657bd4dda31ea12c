"""Which trials of a shared study are being evaluated, and which were left by a process that died."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from elasticnas.runtime import warn
from elasticnas.search.storage import ARCHITECTURE, is_path, require_optuna

__all__ = ["POLL_SECONDS", "Workers"]

POLL_SECONDS = 0.5  # between two looks at what other processes are evaluating
_START_SECONDS = 60.0  # a trial that takes longer from its creation to its evaluation was left by its process


class Workers:
    """Fails the running trials of processes that died, so that others may evaluate their architectures.

    In a journal file that the library opened, every process locks a file of its own during an evaluation, and the
    operating system releases the lock when the process ends. In a database it is Optuna's heartbeat.

    Args:
        study: The Optuna study.
        storage: The storage as the caller gave it.

    Attributes:
        detects: Whether the storage shows that a process died.
    """

    def __init__(self, study: Any, storage: Any) -> None:
        optuna = require_optuna()
        self._study, self._storage = study, study._storage
        self._journal = Path(storage).absolute() if is_path(storage) else None
        self._beats = optuna.storages._heartbeat.is_heartbeat_enabled(self._storage)
        self._starting: dict[int, float] = {}  # when this process first saw a trial without an architecture
        self.detects = self._journal is not None or self._beats
        self._alone = isinstance(self._storage, optuna.storages.InMemoryStorage)

    def warn_if_blind(self) -> None:
        """Warn if other processes may use the storage, and it does not show when one of them dies."""
        if not (self.detects or self._alone):
            warn(
                f"{type(self._storage).__name__} does not show when a process dies: its last architecture is evaluated "
                "at the end of the search or not at all; give storage a path or a URL, or "
                "RDBStorage(url, heartbeat_interval=30)"
            )

    @contextmanager
    def evaluating(self, trial: Any) -> Iterator[None]:
        """Show to other processes that this process is alive while it evaluates a trial."""
        if self._journal is not None:
            lock = self._lock(trial.number)
            try:
                with lock:
                    yield
            finally:
                Path(lock.lock_file).unlink(missing_ok=True)
        elif self._beats:
            self._storage.record_heartbeat(trial._trial_id)  # the thread may start late
            with require_optuna().storages._heartbeat.get_heartbeat_thread(trial._trial_id, self._storage):
                yield
        else:
            yield

    def fail_dead(self) -> None:
        """Fail the running trials of processes that died; only while this process evaluates nothing."""
        if not self.detects:
            return
        optuna = require_optuna()
        if self._beats:
            with quiet():
                optuna.storages.fail_stale_trials(self._study)
        running = self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        self._starting = {t.number: self._starting.get(t.number, time.monotonic()) for t in running}
        for trial in running:
            if ARCHITECTURE in trial.user_attrs:
                if self._journal is not None:
                    self._fail_unlocked(trial.number)
            elif time.monotonic() - self._starting[trial.number] > _START_SECONDS:
                self._fail(trial.number)

    def _fail_unlocked(self, number: int) -> None:
        lock = self._lock(number)
        try:
            with lock.acquire(timeout=0):
                self._fail(number)  # does nothing if its process has just ended it
        except Timeout:
            return
        Path(lock.lock_file).unlink(missing_ok=True)

    def _fail(self, number: int) -> None:
        optuna = require_optuna()
        with suppress(optuna.exceptions.UpdateFinishedTrialError):  # another process was faster
            self._study.tell(number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)

    def _lock(self, number: int) -> FileLock:
        assert self._journal is not None
        name = f".{self._journal.name}.{self._study._study_id}.{number}.flock"
        return FileLock(self._journal.with_name(name), thread_local=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide Optuna's warnings that heartbeats are experimental and meant for ``Study.optimize``."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Hh]eartbeat.*")
        warnings.filterwarnings("ignore", message=".*fail_stale_trials is experimental.*")
        yield
