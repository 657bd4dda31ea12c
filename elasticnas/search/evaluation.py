"""Evaluating a sub-network: a caller's function, run without a trace."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.axes import Axes
from elasticnas.errors import ConfigError, SearchError
from elasticnas.runtime import random_state, restore_random_state
from elasticnas.search.stream import Epochs

__all__ = ["Evaluate", "Loss", "checked", "evaluate_at", "mean_loss"]

Evaluate = Callable[[nn.Module], Mapping[str, float]]
Loss = Callable[[nn.Module, Any], Tensor]


def mean_loss(loss: Loss, held_out: Epochs) -> Evaluate:
    """``evaluate`` where none is given: the mean loss over the batches of epoch 0, as ``{"loss": value}``."""

    def evaluate(model: nn.Module) -> dict[str, float]:
        losses = [float(loss(model, batch)) for batch in held_out(0)]
        if not losses:
            raise SearchError("held_out: epoch 0 has no batch")
        return {"loss": sum(losses) / len(losses)}

    return evaluate


@torch.no_grad()
def evaluate_at(model: nn.Module, axes: Axes, arch: Any, evaluate: Evaluate, metric: str) -> dict[str, float]:
    """The metrics of an architecture with the supernet's weights.

    In eval mode, without gradients; modes and random generators are as before afterwards.

    Args:
        model: The supernet.
        axes: Its axes.
        arch: The architecture to put in scope.
        evaluate: ``evaluate(model) -> {"metric": value}``.
        metric: One that must be among them.

    Raises:
        ConfigError: ``evaluate`` gives something else, or not this metric.
        SearchError: The metric is not finite.
    """
    state = random_state()
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with axes.at(arch):
            given = evaluate(model)
    finally:
        for module, mode in modes.items():
            module.training = mode
        restore_random_state(state)
    metrics = checked(given, metric)
    if not math.isfinite(metrics[metric]):
        raise SearchError(
            f"evaluate gives {metric}={metrics[metric]} for {arch!r}: give it data on which the metric is defined"
        )
    return metrics


def checked(given: Any, metric: str) -> dict[str, float]:
    """What ``evaluate`` gave, as numbers by name.

    Raises:
        ConfigError: It is no mapping from names to numbers, or has not this metric.
    """
    if not isinstance(given, Mapping):
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
        raise ConfigError(f"metric {metric!r} is not among what evaluate returns: {sorted(map(str, metrics))}")
    return metrics
