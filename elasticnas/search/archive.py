"""Archive: the evaluated architectures of one search by evaluations, in order."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from elasticnas.search.evaluation import Evaluator
from elasticnas.search.limits import Limits
from elasticnas.search.outcome import Outcome
from elasticnas.search.result import Candidate, Failure

__all__ = ["Archive"]


class Archive:
    """Candidates in order of evaluation; different architectures of the same network count as one.

    Attributes:
        candidates: Candidates by the canonical architecture of their network.
        failed: Canonical architectures whose evaluation failed; each uses one trial too.
        limits: The hard budgets.
        outcome: Orders candidates.
        trials: Number of evaluations allowed.

    Args:
        evaluator: Evaluates; several archives may share its results.
        limits: The hard budgets.
        outcome: Orders candidates.
        trials: Number of evaluations allowed.
        same: Returns the canonical architecture of the network of an architecture.
        progress: Called after each evaluation with the archive, the candidate and the seconds left.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        limits: Limits,
        outcome: Outcome,
        trials: int,
        same: Callable[[Any], Any],
        progress: "Callable[[Archive, Candidate[Any] | None, float], None] | None" = None,
    ) -> None:
        self._evaluator, self.limits, self.outcome, self.trials = evaluator, limits, outcome, trials
        self.same, self._progress = same, progress
        self.candidates: dict[Any, Candidate[Any]] = {}
        self.failed: set[Any] = set()
        self._started, self._added = time.perf_counter(), 0

    @property
    def spent(self) -> int:
        """Number of evaluations so far, failed ones included."""
        return len(self.candidates) + len(self.failed)

    @property
    def full(self) -> bool:
        """Whether no evaluation is left."""
        return self.spent >= self.trials

    def __contains__(self, arch: Any) -> bool:
        key = self.same(arch)
        return key in self.candidates or key in self.failed

    @property
    def retries(self) -> int:
        """How often a failed evaluation is repeated."""
        return self._evaluator.retries

    def has_failed(self, arch: Any) -> bool:
        """Return whether all attempts to evaluate an architecture have failed."""
        return self.same(arch) in self.failed

    def in_order(self, archs: Sequence[Any]) -> None:
        """Keep only the candidates of these architectures, in this order."""
        keys = dict.fromkeys(map(self.same, archs))
        self.candidates = {key: self.candidates[key] for key in keys if key in self.candidates}

    def add(self, candidates: Sequence[Candidate[Any]], failures: Sequence[Failure[Any]]) -> None:
        """Add evaluations of an interrupted run or of another process."""
        self._evaluator.remember(candidates, failures)
        for candidate in candidates:
            key = self.same(candidate.architecture)
            if key not in self.candidates:
                self.candidates[key] = candidate
                self.failed.discard(key)
                self._added += 1
        for failure in failures:
            if failure.architecture not in self and self._evaluator.given_up(failure.architecture):
                self.failed.add(self.same(failure.architecture))
                self._added += 1

    def evaluate(self, arch: Any) -> "Candidate[Any] | None":
        """Return the candidate of an allowed architecture, evaluated if it is new; None if the evaluation fails."""
        key = self.same(arch)
        if key in self.candidates:
            return self.candidates[key]
        known = self._evaluator.is_known(arch)
        candidate = self._evaluator(arch)
        if candidate is None:
            self.failed.add(key)
        else:
            self.candidates[key] = candidate
        if known:  # from an interrupted run, or another search
            self._added += 1
        elif self._progress is not None:
            seconds = time.perf_counter() - self._started
            left = seconds / max(1, self.spent - self._added) * max(0, self.trials - self.spent)
            self._progress(self, candidate, left)
        return candidate

    def failure(self, arch: Any) -> Failure[Any]:
        """Return the failure of an architecture."""
        return self._evaluator.failures[self.same(arch)]

    def costs_of(self, arch: Any) -> dict[str, float]:
        """Return the costs of an architecture by name."""
        return self._evaluator.costs_of(arch)

    def objectives(self, candidate: Candidate[Any]) -> list[float]:
        """Return the objectives of a candidate: its costs, then the metric."""
        return [*candidate.costs.values(), candidate.metrics[self.outcome.metric]]

    def best(self) -> Candidate[Any]:
        """Return the candidate with the best metric; the cheapest of equal ones."""
        return self.outcome.best(list(self.candidates.values()))

    def history(self, allowed: Callable[[Any], bool] = lambda arch: True) -> list[dict[str, Any]]:
        """Return a record for each candidate: its number, costs and metric, and the best metric so far.

        Args:
            allowed: Returns whether an architecture counts as the best.
        """
        records: list[dict[str, Any]] = []
        best, metric = None, self.outcome.metric
        for number, candidate in enumerate(self.candidates.values(), 1):
            if allowed(candidate.architecture):
                best = candidate if best is None else self.outcome.best([best, candidate])
            records.append(
                {"evaluated": number, "costs": candidate.costs, "metric": candidate.metrics[metric]}
                | ({} if best is None else {"best": best.metrics[metric]})
            )
        return records
