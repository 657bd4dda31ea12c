"""Optuna studies in memory or in a storage that several processes share."""

import json
import os
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock

from elasticnas.checkpoint import first_difference
from elasticnas.cost import Budget
from elasticnas.errors import CheckpointError, ConfigError, PluginError, short_repr
from elasticnas.search.limits import limits_to_save, restore_limits
from elasticnas.search.result import Candidate, Failure, restore

__all__ = [
    "ARCHITECTURE",
    "CANDIDATE",
    "FAILURE",
    "INTERRUPTED",
    "Stored",
    "add_trial",
    "is_path",
    "labels",
    "open_study",
    "require_optuna",
    "require_storage",
    "stored_limits",
]

ARCHITECTURE = "architecture"  # the architecture in readable form: Optuna stores indices of options
CANDIDATE, FAILURE = "elasticnas candidate", "elasticnas failure"  # user attributes of trials
INTERRUPTED = "elasticnas interrupted"  # user attribute: an error or Ctrl-C ended the process, which told the study
_IDENTITY, _LIMITS = "elasticnas identity", "elasticnas limits"
_ATTEMPTS = 4
_RACES = ("IntegrityError", "OperationalError", "ProgrammingError", "StorageInternalError")
_HEARTBEAT = {"heartbeat_interval": 30, "grace_period": 120}  # seconds


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


def is_path(storage: Any) -> bool:
    """Return whether a storage is given as the path of a journal file."""
    return isinstance(storage, Path) or (isinstance(storage, str) and "://" not in storage)


def require_storage(storage: Any) -> None:
    """Check that a storage is a path, a URL or a storage of Optuna that processes can share.

    Raises:
        ConfigError: It is something else, or SQLite.
    """
    url = str(getattr(storage, "url", storage))
    if url.startswith("sqlite"):
        raise ConfigError(
            f"storage={_without_password(url)!r}: SQLite does not allow concurrent writers; give the path of a journal "
            "file, such as 'runs/search.journal', or the URL of another database"
        )
    # whoever has a storage of Optuna has imported Optuna
    optuna_storage = getattr(sys.modules.get("optuna.storages"), "BaseStorage", ())
    if storage is not None and not isinstance(storage, (str, Path)) and not isinstance(storage, optuna_storage):
        raise ConfigError(
            f"storage={short_repr(storage)}: a path, a URL or an Optuna storage is needed, such as "
            "'runs/search.journal'"
        )


def open_study(storage: Any, name: str, objectives: Mapping[str, str], identity: Mapping[str, Any]) -> Any:
    """Open an Optuna study; create it if the storage does not have it.

    Args:
        storage: A URL for Optuna, such as ``postgresql://user:password@host/db``; a path of a journal file; a storage
            of Optuna; None for memory.
        name: Name of the study.
        objectives: Directions by name, ``"minimize"`` or ``"maximize"``.
        identity: Plain data that a stored study must match.

    Raises:
        CheckpointError: The storage cannot be opened, or holds another search under this name.
        PluginError: The driver of the database is not installed.
    """
    optuna = require_optuna()
    study = _create_study(storage, name, list(objectives.values()))
    written = study.user_attrs.get(_IDENTITY)
    if written is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(objectives))
        study.set_user_attr(_IDENTITY, dict(identity))
    elif difference := first_difference(written, json.loads(json.dumps(identity))):
        raise CheckpointError(
            f"storage {_shown(storage)}: study {name!r} belongs to another search, {difference}; use another name or "
            "file"
        )
    return study


def _create_study(storage: Any, name: str, directions: list[str]) -> Any:
    optuna, shown = require_optuna(), _shown(storage)
    for attempt in range(_ATTEMPTS):
        try:
            return optuna.create_study(
                storage=_open_storage(storage), study_name=name, directions=directions, load_if_exists=True
            )
        except ImportError:
            raise PluginError(
                f"storage {shown}: the driver of this database is not installed: pip install 'elasticnas[postgres]' "
                "for PostgreSQL, or the driver that the URL names"
            ) from None
        except Exception as error:  # databases and files raise various errors
            # two processes that create the tables of a database at the same time may fail
            if attempt + 1 < _ATTEMPTS and type(error).__name__ in _RACES:
                time.sleep(0.5)
                continue
            reason = _without_password(" ".join(str(error.__cause__ or error).split()), storage)[:160]
            raise CheckpointError(f"storage {shown}: cannot be opened ({type(error).__name__}: {reason})") from None


def _shown(storage: Any) -> str:
    """Return a storage for an error message, without a password."""
    if isinstance(storage, (str, Path)):
        return _without_password(str(storage))
    return _without_password(str(getattr(storage, "url", type(storage).__name__)))


def _without_password(text: str, storage: Any = "") -> str:
    """Hide passwords of URLs in a text, and the password of a storage's URL wherever it stands."""
    for pattern in (r"://[^:/@]*:(.+)@", r"[?&]password=([^&\s]+)"):
        for password in {*re.findall(pattern, text), *re.findall(pattern, str(getattr(storage, "url", storage)))}:
            text = text.replace(password, "***")
    return text


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
    """Reads what is known from a study's trials, each once.

    Args:
        study: The Optuna study.
        space: The space of the architectures.
    """

    def __init__(self, study: Any, space: Any) -> None:
        self._study, self._space = study, space
        self._seen: set[int] = set()  # numbers of trials
        self._left: list[Any] = []
        self._deaths: Counter[Any] = Counter()

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
            elif trial.state.name == "FAIL" and ARCHITECTURE in attributes:
                self._leave(attributes)
            if done or FAILURE in attributes:
                self._seen.add(trial.number)
        return candidates, failures

    def take_left(self) -> "list[tuple[Any, int]]":
        """Return architectures whose processes stopped during the evaluation, and how often they died in it."""
        left, self._left = dict.fromkeys(self._left), []
        return [(arch, self._deaths[arch]) for arch in left]

    def _leave(self, attributes: Mapping[str, Any]) -> None:
        arch = self._space.model_validate(attributes[ARCHITECTURE])
        self._left.append(arch)
        self._deaths[arch] += INTERRUPTED not in attributes


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


def _open_storage(storage: Any) -> Any:
    optuna = require_optuna()
    if isinstance(storage, str) and not is_path(storage):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.storages.RDBStorage(_with_driver(storage), **_HEARTBEAT)
    if not is_path(storage):
        return storage
    path = Path(storage).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    journal = optuna.storages.journal
    return optuna.storages.JournalStorage(journal.JournalFileBackend(str(path), lock_obj=_JournalLock(path)))


def _with_driver(url: str) -> str:
    """Name an installed driver in a URL of PostgreSQL: SQLAlchemy's default depends on its version."""
    scheme, rest = url.split("://", 1)
    driver = next((name for name in ("psycopg", "psycopg2") if find_spec(name) is not None), None)
    if scheme not in ("postgresql", "postgres") or driver is None:
        return url
    return f"postgresql+{driver}://{rest}"


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
