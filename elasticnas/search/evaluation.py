"""Evaluating sub-networks: a caller's function, run without a trace, whose failures do not end a search."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from elasticnas.axes import Axes
from elasticnas.errors import ConfigError, SearchError, said
from elasticnas.run import Generators
from elasticnas.runtime import warn
from elasticnas.search.problem import Evaluate
from elasticnas.search.result import Candidate, Failure, revived

__all__ = ["Evaluator", "beside", "checked", "evaluate_at"]


class Evaluator:
    """Candidates of architectures: metrics with the supernet's weights, beside their costs.

    An evaluation that raises, or gives a metric that is not finite, is tried again, then recorded with its message and
    shown as a warning. A function that returns no metric at all is a mistake, and raises.

    Args:
        space: Of the architectures.
        metrics_of: ``metrics_of(arch) -> {"metric": value}``.
        costs_of: ``costs_of(arch) -> {"flops": value}``.
        retries: How often an evaluation that fails is tried again.
        same: From an architecture to the one that stands for all that give the same network; each is evaluated once.
        keep: Called after each evaluation, with its candidate or failure.

    Attributes:
        known: Candidates by the architecture that stands for them.
        failures: Likewise, of evaluations that failed.
    """

    def __init__(
        self,
        space: Any,
        metrics_of: Callable[[Any], dict[str, float]],
        costs_of: Callable[[Any], dict[str, float]],
        retries: int,
        same: Callable[[Any], Any] = lambda arch: arch,
        keep: "Callable[[Candidate[Any] | Failure[Any]], None]" = lambda evaluated: None,
    ) -> None:
        self._space, self._metrics_of, self.costs_of, self._retries = space, metrics_of, costs_of, retries
        self._same, self._keep = same, keep
        self.known: dict[Any, Candidate[Any]] = {}
        self.failures: dict[Any, Failure[Any]] = {}
        self._forgiven: dict[Any, int] = {}  # attempts with other weights

    def __call__(self, arch: Any) -> "Candidate[Any] | None":
        """The candidate of an architecture, evaluated unless it is known; None where its evaluation fails.

        Raises:
            ConfigError: ``evaluate`` gives no mapping from names to numbers, or not the metric.
            SearchError: A cost is not finite.
        """
        key = self._same(arch)
        if key not in self.known:
            self._evaluate(arch, key)
        known = self.known.get(key)
        return None if known is None else known.model_copy(update={"architecture": arch})

    def forget(self) -> None:
        """Evaluate anew: the weights have changed. Failures stay on record, and may be tried again as often."""
        self.known.clear()
        self._forgiven = {key: failure.attempts for key, failure in self.failures.items()}

    def is_known(self, arch: Any) -> bool:
        """Whether no evaluation is needed for an architecture, or none is left."""
        return self._same(arch) in self.known or self.given_up(arch)

    def given_up(self, arch: Any) -> bool:
        """Whether no attempt is left for an architecture."""
        key = self._same(arch)
        return key in self.failures and self.failures[key].attempts - self._forgiven.get(key, 0) > self._retries

    def _evaluate(self, arch: Any, key: Any) -> None:
        costs = self.costs_of(arch)
        while not self.given_up(arch):
            try:
                metrics = self._metrics_of(arch)
            except ConfigError:
                raise
            except Exception as error:  # a caller's function may fail in any way, such as for want of memory
                self._note(arch, key, error)
                continue
            self.failures.pop(key, None)
            self.known[key] = Candidate(architecture=arch, costs=costs, metrics=metrics)
            self._keep(self.known[key])
            return

    def _note(self, arch: Any, key: Any, error: Exception) -> None:
        attempts = self.failures[key].attempts + 1 if key in self.failures else 1
        message = said(error)
        self.failures[key] = Failure(architecture=arch, message=message, attempts=attempts)
        self._keep(self.failures[key])
        if self.given_up(arch):
            warn(f"the evaluation of {arch!r} failed, tried {attempts} times: {message}")

    def nothing(self) -> SearchError:
        """The error of a search whose evaluations all failed."""
        failure = next(iter(self.failures.values()))
        return SearchError(
            f"all {len(self.failures)} evaluations failed, such as that of {failure.architecture!r} with "
            f"{failure.message}; fix evaluate, and run again, with retries={failure.attempts} where that continues "
            "this search"
        )

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "known": [candidate.model_dump(mode="json") for candidate in self.known.values()],
            "failures": [failure.model_dump(mode="json") for failure in self.failures.values()],
            "forgiven": [self._forgiven.get(key, 0) for key in self.failures],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what was evaluated."""
        failures = [revived(Failure[Any], data, self._space) for data in state["failures"]]
        self.remember([revived(Candidate[Any], data, self._space) for data in state["known"]], failures)
        keys = [self._same(failure.architecture) for failure in failures]
        self._forgiven = dict(zip(keys, state["forgiven"], strict=True))

    def remember(self, candidates: Sequence[Candidate[Any]], failures: Sequence[Failure[Any]]) -> None:
        """Take in what others have evaluated."""
        for candidate in candidates:
            self.known.setdefault(self._same(candidate.architecture), candidate)
        for failure in failures:
            key = self._same(failure.architecture)
            if key not in self.known and (key not in self.failures or self.failures[key].attempts < failure.attempts):
                self.failures[key] = failure


@torch.no_grad()
def evaluate_at(
    model: nn.Module, axes: Axes, arch: Any, evaluate: Evaluate, metric: str, seed: int
) -> dict[str, float]:
    """The metrics of an architecture with the supernet's weights.

    In eval mode, without gradients; modes and random generators are as before afterwards. What ``evaluate`` draws from
    the global generators is the same for every architecture.

    Args:
        model: The supernet.
        axes: Its axes.
        arch: The architecture to put in scope.
        evaluate: ``evaluate(model) -> {"metric": value}``.
        metric: One that must be among them.
        seed: Of what ``evaluate`` draws.

    Raises:
        ConfigError: ``evaluate`` gives something else, or not this metric.
        SearchError: The metric is not finite.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with axes.at(arch), Generators("evaluate", seed, 0).swapped_in():
            given = evaluate(model)
    finally:
        for module, mode in modes.items():
            module.training = mode
    metrics = checked(given, metric)
    if not math.isfinite(metrics[metric]):
        raise SearchError(
            f"evaluate gives {metric}={metrics[metric]} for {arch!r}: give it data on which the metric is defined"
        )
    return metrics


def beside(figures: Mapping[str, Any], metrics: Mapping[str, float]) -> dict[str, Any]:
    """Figures of a step with metrics beside them; a metric of the name of a figure is called ``evaluated NAME``."""
    taken = {"step", *figures}
    return {**figures, **{f"evaluated {n}" if n in taken else n: value for n, value in metrics.items()}}


def checked(given: Any, metric: str) -> dict[str, float]:
    """What ``evaluate`` gave, as numbers by name.

    Raises:
        ConfigError: It is no mapping from names to numbers, or has not this metric.
    """
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise ConfigError(
            f"evaluate returns {type(given).__name__} {given!r}; a mapping from names to numbers is needed, such as "
            f"{{{metric!r}: 0.5}}"
        )
    metrics = {}
    for name, value in given.items():
        try:
            metrics[name] = float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise ConfigError(f"evaluate returns {name}={value!r}; a metric is a number") from None
    if metric not in metrics:
        raise ConfigError(f"metric {metric!r} is not among what evaluate returns: {sorted(metrics)}")
    return metrics
