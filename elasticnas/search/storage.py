"""Optuna studies in memory or in a storage that several processes share."""

import json
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from elasticnas.checkpoint import first_difference
from elasticnas.cost import Budget
from elasticnas.errors import CheckpointError, PluginError
from elasticnas.search.limits import limits_to_save, restore_limits
from elasticnas.search.result import Candidate, Failure, restore

__all__ = [
    "ARCHITECTURE",
    "CANDIDATE",
    "FAILURE",
    "Stored",
    "add_trial",
    "labels",
    "open_study",
    "require_optuna",
    "stored_limits",
]

ARCHITECTURE = "architecture"  # the architecture in readable form: Optuna stores indices of options
CANDIDATE, FAILURE = "elasticnas candidate", "elasticnas failure"  # user attributes of trials
_IDENTITY, _LIMITS = "elasticnas identity", "elasticnas limits"
_ATTEMPTS = 4
_RACES = ("IntegrityError", "OperationalError", "StorageInternalError")


def require_optuna() -> Any:
    """Import Optuna and reduce its logging to warnings.

    Raises:
        PluginError: It is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise PluginError("NSGA-II and storages need Optuna: pip install 'elasticnas[evolve]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def open_study(
    storage: "str | Path | None", name: str, objectives: Mapping[str, str], identity: Mapping[str, Any]
) -> Any:
    """Open an Optuna study; create it if the storage does not have it.

    Args:
        storage: A URL for Optuna, such as ``sqlite:///search.db``; a path of a journal file; None for memory.
        name: Name of the study.
        objectives: Directions by name, ``"minimize"`` or ``"maximize"``.
        identity: Plain data that a stored study must match.

    Raises:
        CheckpointError: The storage cannot be opened, or holds another search under this name.
    """
    optuna = require_optuna()
    study: Any = None
    for attempt in range(_ATTEMPTS):
        try:
            study = optuna.create_study(
                storage=_open_storage(storage),
                study_name=name,
                directions=list(objectives.values()),
                load_if_exists=True,
            )
            break
        except Exception as error:  # databases and files raise various errors
            # two processes that create the tables of a database at the same time may fail
            if attempt + 1 < _ATTEMPTS and type(error).__name__ in _RACES:
                time.sleep(0.5)
                continue
            reason = " ".join(str(error).split())[:160]
            raise CheckpointError(f"storage {storage}: cannot be opened ({type(error).__name__}: {reason})") from None
    written = study.user_attrs.get(_IDENTITY)
    if written is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(objectives))
        study.set_user_attr(_IDENTITY, dict(identity))
    elif difference := first_difference(written, json.loads(json.dumps(identity))):
        raise CheckpointError(
            f"storage {storage}: study {name!r} belongs to another search, {difference}; use another name or file"
        )
    return study


def stored_limits(study: Any, budgets: Mapping[str, Budget]) -> dict[str, Budget]:
    """Return the budgets with the limits from the start of a study; store them in a new study."""
    written = study.user_attrs.get(_LIMITS)
    if written is None:
        study.set_user_attr(_LIMITS, limits_to_save(budgets))
        return dict(budgets)
    return restore_limits(budgets, written)


def labels(choice: Any) -> list[Any]:
    """Return the options of a choice for Optuna: as they are, or as text if Optuna could not distinguish them."""
    plain = all(option is None or isinstance(option, (bool, int, float, str)) for option in choice.options)
    if plain and len(set(choice.options)) == len(choice.options):
        return list(choice.options)
    return [f"{type(option).__name__} {option!r}" for option in choice.options]


class Stored:
    """Reads candidates and failed evaluations of a study's trials, each once.

    Args:
        study: The Optuna study.
        space: The space of the architectures.
    """

    def __init__(self, study: Any, space: Any) -> None:
        self._study, self._space = study, space
        self._seen: set[int] = set()  # numbers of trials

    def new(self) -> "tuple[list[Candidate[Any]], list[Failure[Any]]]":
        """Return the candidates and failures of trials that ended since the last call, in order."""
        candidates: list[Candidate[Any]] = []
        failures: list[Failure[Any]] = []
        for trial in self._study.get_trials(deepcopy=False):
            if trial.number in self._seen:
                continue
            attributes, done = trial.user_attrs, trial.state.is_finished()
            if trial.state.name == "COMPLETE" and CANDIDATE in attributes:
                candidates.append(restore(Candidate[Any], attributes[CANDIDATE], self._space))
            if FAILURE in attributes:
                failures.append(restore(Failure[Any], attributes[FAILURE], self._space))
            if done or FAILURE in attributes:
                self._seen.add(trial.number)
        return candidates, failures


def add_trial(
    study: Any, space: Any, evaluated: "Candidate[Any] | Failure[Any]", values: "Sequence[float] | None"
) -> None:
    """Add a trial for an architecture that the study did not propose: completed with its values, or failed."""
    optuna = require_optuna()
    indices, options = space.indices(evaluated.architecture), {c.name: labels(c) for c in space.choice_list()}
    trial = optuna.trial.create_trial(
        state=optuna.trial.TrialState.FAIL if values is None else optuna.trial.TrialState.COMPLETE,
        params={name: named[indices[name]] for name, named in options.items()},
        distributions={n: optuna.distributions.CategoricalDistribution(named) for n, named in options.items()},
        values=values,
        user_attrs={
            ARCHITECTURE: evaluated.architecture.model_dump(mode="json"),
            FAILURE if values is None else CANDIDATE: evaluated.model_dump(mode="json"),
        },
    )
    study.add_trial(trial)


def _open_storage(storage: "str | Path | None") -> Any:
    if storage is None or "://" in str(storage):
        return storage
    optuna, path = require_optuna(), Path(storage).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    journal = optuna.storages.journal
    return optuna.storages.JournalStorage(journal.JournalFileBackend(str(path), lock_obj=_JournalLock(path)))


class _JournalLock:
    """Lock of an Optuna journal by the operating system, which releases it when the process ends."""

    def __init__(self, path: Path) -> None:
        self._journal = path
        self._lock = FileLock(path.with_name(f".{path.name}.flock"), thread_local=False)

    def acquire(self) -> bool:
        """Acquire the lock, and remove an incomplete last line left by a killed process."""
        self._lock.acquire(poll_interval=0.01)
        with self._journal.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            if file.read() not in (b"", b"\n"):
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Release the lock."""
        with suppress(OSError):
            self._lock.release()
