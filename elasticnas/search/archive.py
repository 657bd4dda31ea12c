"""Archive: what one search by evaluations has evaluated, in order."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from elasticnas.search.evaluation import Evaluator
from elasticnas.search.limits import Limits
from elasticnas.search.outcome import Outcome
from elasticnas.search.result import Candidate, Failure

__all__ = ["Archive"]


class Archive:
    """Candidates by network, in order of evaluation; each network is evaluated once.

    Attributes:
        candidates: By the architecture that stands for all that give the same network.
        failed: Those whose evaluation failed; each spends a trial too.
        limits: Hard budgets.
        outcome: That orders candidates.
        trials: Evaluations allowed.

    Args:
        evaluator: Evaluates, and remembers over several archives.
        limits: Hard budgets.
        outcome: That orders candidates.
        trials: Evaluations allowed.
        same: From an architecture to the one that stands for its network.
        progress: Called after each evaluation, with the candidate and the seconds left.
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
        self._started, self._already = time.perf_counter(), 0

    @property
    def spent(self) -> int:
        """Evaluations so far, those that failed among them."""
        return len(self.candidates) + len(self.failed)

    @property
    def full(self) -> bool:
        """Whether all evaluations are spent."""
        return self.spent >= self.trials

    def __contains__(self, arch: Any) -> bool:
        key = self.same(arch)
        return key in self.candidates or key in self.failed

    def in_order(self, archs: Sequence[Any]) -> None:
        """Keep the candidates of these architectures, in this order."""
        keys = dict.fromkeys(map(self.same, archs))
        self.candidates = {key: self.candidates[key] for key in keys if key in self.candidates}

    def add(self, candidates: Sequence[Candidate[Any]], failures: Sequence[Failure[Any]]) -> None:
        """Take in what an interrupted run or another process has evaluated."""
        self._evaluator.remember(candidates, failures)
        for candidate in candidates:
            key = self.same(candidate.architecture)
            if key not in self.candidates:
                self.candidates[key] = candidate
                self.failed.discard(key)
                self._already += 1
        for failure in failures:
            if failure.architecture not in self and self._evaluator.given_up(failure.architecture):
                self.failed.add(self.same(failure.architecture))
                self._already += 1

    def evaluate(self, arch: Any) -> "Candidate[Any] | None":
        """The candidate of an architecture that is allowed, evaluated unless it is known; None where that fails."""
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
            self._already += 1
        elif self._progress is not None:
            seconds = time.perf_counter() - self._started
            left = seconds / max(1, self.spent - self._already) * max(0, self.trials - self.spent)
            self._progress(self, candidate, left)
        return candidate

    def failure(self, arch: Any) -> Failure[Any]:
        """Of an architecture whose evaluation failed."""
        return self._evaluator.failures[self.same(arch)]

    def costs_of(self, arch: Any) -> dict[str, float]:
        """Every cost of an architecture, by name."""
        return self._evaluator.costs_of(arch)

    def objectives(self, candidate: Candidate[Any]) -> list[float]:
        """Costs, then the metric."""
        return [*candidate.costs.values(), candidate.metrics[self.outcome.metric]]

    def best(self) -> Candidate[Any]:
        """The candidate with the best metric, the cheaper of two."""
        return self.outcome.best(list(self.candidates.values()))
