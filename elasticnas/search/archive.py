"""Archive: every architecture that a search has evaluated, in memory or in an Optuna storage."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elasticnas.checkpoint import first_difference
from elasticnas.cost import Budget, Cost
from elasticnas.errors import CheckpointError, PluginError, SearchError
from elasticnas.search.result import Candidate

__all__ = ["KEY", "Archive", "EvolveProgress", "kept_limits", "open_study", "require_optuna", "stored"]

KEY = "elasticnas"  # of a trial's user attributes
_IDENTITY = "elasticnas identity"
_LIMITS = "elasticnas limits"
_ATTEMPTS = 4
_RACES = ("IntegrityError", "OperationalError", "StorageInternalError")


@dataclass(frozen=True)
class EvolveProgress:
    """Where a search by evaluations is, for a progress display."""

    evaluated: int
    trials: int
    metrics: dict[str, float]
    best: float
    seconds_left: float


class Archive:
    """Candidates by architecture, in order of evaluation; each is evaluated once.

    Attributes:
        candidates: By architecture.
        seconds: Until the last evaluation.

    Args:
        metrics_of: Evaluates an architecture.
        costs: Of an architecture; the first orders the front.
        budgets: Hard limits.
        metric: That ranks candidates.
        maximise: Whether more is better.
        trials: Evaluations allowed.
        known: Candidates of another archive that need no evaluation here, though they count.
        progress: Called after each evaluation.
    """

    def __init__(
        self,
        metrics_of: Callable[[Any], dict[str, float]],
        costs: Sequence[Cost],
        budgets: Sequence[Budget],
        metric: str,
        maximise: bool,
        trials: int,
        known: "dict[Any, Candidate] | None" = None,
        progress: Callable[[EvolveProgress], None] | None = None,
    ) -> None:
        self._metrics_of, self.costs, self.budgets, self.metric = metrics_of, costs, budgets, metric
        self.trials, self.maximise, self._progress = trials, maximise, progress
        self._known = dict(known or {})
        self._keep: Callable[[Candidate], None] | None = None
        self._stored: set[Any] = set()
        self.candidates: dict[Any, Candidate] = {}
        self._started, self._already, self.seconds = time.perf_counter(), 0, 0.0

    @property
    def full(self) -> bool:
        """Whether all evaluations are spent."""
        return len(self.candidates) >= self.trials

    def allows(self, arch: Any) -> bool:
        """Whether an architecture meets every budget."""
        return all(budget.allows(arch) for budget in self.budgets)

    def violations(self, arch: Any) -> list[float]:
        """How far an architecture is over each budget, as a share of it; negative within it."""
        return [_finite(budget.cost, arch) / budget.limit - 1.0 for budget in self.budgets]

    def excess(self, arch: Any) -> float:
        """How far an architecture is over its budgets in all, 0 where it is within them."""
        return sum(max(0.0, violation) for violation in self.violations(arch))

    def costs_of(self, arch: Any) -> list[float]:
        """Every cost of an architecture.

        Raises:
            SearchError: One is not finite.
        """
        return [_finite(cost, arch) for cost in self.costs]

    def in_order(self, archs: Sequence[Any]) -> None:
        """Keep the candidates of these architectures, in this order."""
        self.candidates = {arch: self.candidates[arch] for arch in archs}

    def add(self, *candidates: Candidate) -> None:
        """Take in candidates evaluated by an interrupted run or another process."""
        for candidate in candidates:
            if candidate.architecture not in self.candidates:
                self.candidates[candidate.architecture] = candidate
                self._already += 1

    def remember(self, candidates: Sequence[Candidate], keep: Callable[[Candidate], None]) -> None:
        """Candidates that a run before has stored, and how to store others."""
        self._known |= {candidate.architecture: candidate for candidate in candidates}
        self._stored, self._keep = {candidate.architecture for candidate in candidates}, keep

    def evaluate(self, arch: Any) -> Candidate:
        """The candidate of an architecture that is allowed, evaluated unless it is known."""
        if arch in self.candidates:
            return self.candidates[arch]
        candidate = self._known.get(arch)
        if candidate is None:
            metrics = self._metrics_of(arch)
            cost, *further = self.costs_of(arch)
            candidate = Candidate(arch, cost, metrics, tuple(further))
        self.candidates[arch] = candidate
        self.seconds = time.perf_counter() - self._started
        if self._keep is not None and arch not in self._stored:
            self._keep(candidate)
        if self._progress is not None:
            done = len(self.candidates)
            left = self.seconds / (done - self._already) * max(0, self.trials - done)
            best = self.best()
            self._progress(EvolveProgress(done, self.trials, candidate.metrics, best.metrics[self.metric], left))
        return candidate

    def objectives(self, candidate: Candidate) -> list[float]:
        """To minimise: costs, then the metric (negated where more is better)."""
        value = candidate.metrics[self.metric]
        return [candidate.cost, *candidate.further_costs, -value if self.maximise else value]

    def best(self) -> Candidate:
        """The candidate with the best metric, the cheaper of two."""
        return min(self.candidates.values(), key=lambda candidate: (self.objectives(candidate)[-1], candidate.cost))


def _finite(cost: Cost, arch: Any) -> float:
    value = cost(arch)
    if not math.isfinite(value):
        raise SearchError(f"{type(cost).__name__} gives {value} {cost.unit} for {arch!r}: a cost is a finite number")
    return value


def require_optuna() -> Any:
    """Optuna, quiet.

    Raises:
        PluginError: It is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise PluginError("NSGA-II and storages need Optuna: pip install 'elasticnas[evolve]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def open_study(storage: "str | Path | None", name: str, count: int, identity: dict[str, Any]) -> Any:
    """An Optuna study of so many objectives to minimise, the stored one where there is one.

    Args:
        storage: A URL as Optuna takes it, such as ``sqlite:///search.db``; a path of a journal file; None for memory.
        name: Of the study.
        count: Objectives.
        identity: Plain data that a stored study must agree with.

    Raises:
        CheckpointError: The storage cannot be opened, or holds another search under this name.
    """
    optuna = require_optuna()
    study: Any = None
    for attempt in range(_ATTEMPTS):
        try:
            study = optuna.create_study(
                storage=_opened(storage), study_name=name, directions=["minimize"] * count, load_if_exists=True
            )
            break
        except Exception as error:  # databases and files fail in their own ways
            # two processes that make the tables of one database at the same time get in each other's way
            if attempt + 1 < _ATTEMPTS and type(error).__name__ in _RACES:
                time.sleep(0.5)
                continue
            reason = " ".join(str(error).split())[:160]
            raise CheckpointError(f"storage {storage}: cannot be opened ({type(error).__name__}: {reason})") from None
    written = study.user_attrs.get(_IDENTITY)
    if written is None:
        study.set_user_attr(_IDENTITY, identity)
    elif difference := first_difference(written, identity):
        raise CheckpointError(
            f"storage {storage}: study {name!r} belongs to another search, {difference}; use another name or file"
        )
    return study


def kept_limits(study: Any, budgets: Sequence[Budget]) -> list[Budget]:
    """Budgets with the limits that a study began with."""
    written = study.user_attrs.get(_LIMITS)
    if written is None:
        study.set_user_attr(_LIMITS, [budget.limit for budget in budgets])
        return list(budgets)
    return [replace(budget, limit=limit) for budget, limit in zip(budgets, written, strict=True)]


def _opened(storage: "str | Path | None") -> Any:
    if storage is None or "://" in str(storage):
        return storage
    optuna, path = require_optuna(), Path(storage)
    path.parent.mkdir(parents=True, exist_ok=True)
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))


def stored(study: Any, space: Any) -> list[Candidate]:
    """Candidates of a study's finished trials, in order."""
    found = []
    for trial in study.get_trials(deepcopy=False):
        data = trial.user_attrs.get(KEY)
        if data is not None and trial.state.name == "COMPLETE":
            arch = space.model_validate(data["architecture"])
            found.append(Candidate(arch, data["cost"], data["metrics"], tuple(data.get("further_costs", ()))))
    return found
