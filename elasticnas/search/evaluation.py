"""Evaluating a sub-network: a caller's function, run without a trace."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.axes import Axes
from elasticnas.errors import ConfigError, SearchError
from elasticnas.search.checkpoint import random_state, restore_random_state
from elasticnas.search.stream import Epochs

__all__ = ["Evaluate", "Loss", "evaluate_at", "mean_loss"]

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
        ConfigError: The metric is missing.
        SearchError: The metric is NaN.
    """
    state = random_state()
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with axes.at(arch):
            metrics = {name: float(value) for name, value in evaluate(model).items()}
    finally:
        for module, mode in modes.items():
            module.training = mode
        restore_random_state(state)
    if metric not in metrics:
        raise ConfigError(f"metric {metric!r} is not among what evaluate returns: {sorted(metrics)}")
    if math.isnan(metrics[metric]):
        raise SearchError(f"evaluate gives {metric}=nan for {arch!r}: give it data on which the metric is defined")
    return metrics
