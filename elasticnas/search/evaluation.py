"""Evaluation of sub-networks by the user's function; failures do not end a search."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from elasticnas.axes import Axes
from elasticnas.errors import ConfigError, SearchError, describe_error
from elasticnas.parallel import require_same, size
from elasticnas.run import Generators
from elasticnas.runtime import warn
from elasticnas.search.problem import Evaluate
from elasticnas.search.result import Candidate, Failure, restore

__all__ = ["Evaluator", "evaluate_at", "require_metrics", "with_metrics"]


class Evaluator:
    """Evaluates architectures: metrics with the supernet's weights, and costs.

    An evaluation that raises, or whose metric is not finite, is repeated; after the last attempt it is recorded and a
    warning is given. A function that does not return the metric at all is a mistake, and raises.

    Args:
        space: The space of the architectures.
        metrics_of: ``metrics_of(arch) -> {"metric": value}``.
        costs_of: ``costs_of(arch) -> {"flops": value}``.
        retries: How often a failed evaluation is repeated.
        same: Returns the canonical architecture of all that give the same network; each network is evaluated once.
        keep: Called after each evaluation, with its candidate or failure.

    Attributes:
        known: Candidates by canonical architecture.
        failures: Failures by canonical architecture.
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
        self._space, self._metrics_of, self.costs_of, self.retries = space, metrics_of, costs_of, retries
        self._same, self._keep = same, keep
        self.known: dict[Any, Candidate[Any]] = {}
        self.failures: dict[Any, Failure[Any]] = {}
        self._earlier: dict[Any, int] = {}  # failed attempts with earlier weights

    def __call__(self, arch: Any) -> "Candidate[Any] | None":
        """Return the candidate of an architecture, evaluated if it is new; None if the evaluation fails.

        Raises:
            ConfigError: ``evaluate`` does not return a mapping from names to numbers with the metric.
            SearchError: A cost is not finite.
        """
        key = self._same(arch)
        if key not in self.known:
            self._evaluate(arch, key)
        known = self.known.get(key)
        return None if known is None else known.model_copy(update={"architecture": arch})

    def forget(self) -> None:
        """Forget all candidates because the weights have changed; failures stay recorded, and are retried."""
        self.known.clear()
        self._earlier = {key: failure.attempts for key, failure in self.failures.items()}

    def is_known(self, arch: Any) -> bool:
        """Whether no evaluation is needed for an architecture, or none is left."""
        return self._same(arch) in self.known or self.given_up(arch)

    def given_up(self, arch: Any) -> bool:
        """Return whether all attempts to evaluate an architecture have failed."""
        key = self._same(arch)
        return key in self.failures and self.failures[key].attempts - self._earlier.get(key, 0) > self.retries

    def _evaluate(self, arch: Any, key: Any) -> None:
        costs = self.costs_of(arch)
        while not self.given_up(arch):
            try:
                metrics = self._metrics_of(arch)
            except ConfigError:
                raise
            except Exception as error:  # the user's function can raise anything, such as running out of memory
                if size() > 1:  # the other ranks would wait for this one
                    raise
                self._record_failure(arch, key, error)
                continue
            self.failures.pop(key, None)
            self.known[key] = Candidate(architecture=arch, costs=costs, metrics=metrics)
            self._keep(self.known[key])
            return

    def _record_failure(self, arch: Any, key: Any, error: Exception) -> None:
        attempts = self.failures[key].attempts + 1 if key in self.failures else 1
        message = describe_error(error)
        self.failures[key] = Failure(architecture=arch, message=message, attempts=attempts)
        self._keep(self.failures[key])
        if self.given_up(arch):
            warn(f"the evaluation of {arch!r} failed, tried {attempts} times: {message}")

    def all_failed_error(self) -> SearchError:
        """Return the error for a search whose evaluations have all failed."""
        failure = next(iter(self.failures.values()))
        return SearchError(
            f"all {len(self.failures)} evaluations failed, such as that of {failure.architecture!r} with "
            f"{failure.message}; fix evaluate and run again, with retries={failure.attempts} to resume this search"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "known": [candidate.model_dump(mode="json") for candidate in self.known.values()],
            "failures": [failure.model_dump(mode="json") for failure in self.failures.values()],
            "forgiven": [self._earlier.get(key, 0) for key in self.failures],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore candidates and failures."""
        failures = [restore(Failure[Any], data, self._space) for data in state["failures"]]
        self.remember([restore(Candidate[Any], data, self._space) for data in state["known"]], failures)
        keys = [self._same(failure.architecture) for failure in failures]
        self._earlier = dict(zip(keys, state["forgiven"], strict=True))

    def remember(self, candidates: Sequence[Candidate[Any]], failures: Sequence[Failure[Any]]) -> None:
        """Add evaluations of other processes or runs."""
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
    """Return the metrics of an architecture with the supernet's weights.

    Evaluates in eval mode without gradients; restores training modes and random generators. The global generators are
    seeded equally for every architecture.

    Args:
        model: The supernet.
        axes: The axes of the supernet.
        arch: The architecture.
        evaluate: ``evaluate(model) -> {"metric": value}``.
        metric: The metric that must be returned.
        seed: Seed of the global generators during ``evaluate``.

    Raises:
        ConfigError: ``evaluate`` returns something else, or not this metric.
        SearchError: The metric is not finite, or differs between the ranks.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with axes.at(arch), Generators("evaluate", seed, 0).swapped_in():
            given = evaluate(model)
    finally:
        for module, mode in modes.items():
            module.training = mode
    metrics = require_metrics(given, metric)
    require_same(
        "the metrics that evaluate returns",
        metrics,
        "give every rank the same data, or average over them",
    )
    if not math.isfinite(metrics[metric]):
        raise SearchError(
            f"evaluate gives {metric}={metrics[metric]} for {arch!r}: give it data on which the metric is defined"
        )
    return metrics


def with_metrics(figures: Mapping[str, Any], metrics: Mapping[str, float]) -> dict[str, Any]:
    """Add metrics to the figures of a step; a metric with the name of a figure is called ``evaluated NAME``."""
    taken = {"step", *figures}
    return {**figures, **{f"evaluated {n}" if n in taken else n: value for n, value in metrics.items()}}


def require_metrics(given: Any, metric: str) -> dict[str, float]:
    """Return what ``evaluate`` returned as a dict of floats.

    Raises:
        ConfigError: It is not a mapping from names to numbers, or does not have this metric.
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
