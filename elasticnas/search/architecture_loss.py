"""Held-out loss of an architecture step, differentiable in the architecture parameters."""

from collections.abc import Callable

import torch
from torch import Tensor

from elasticnas.axes import Axes
from elasticnas.search.controller import Controller
from elasticnas.search.descent import require_scalar

__all__ = ["relaxed_loss", "sampled_loss"]


def relaxed_loss(
    controller: Controller, axes: Axes, loss: Callable[[], Tensor], step: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss ``()`` of the relaxed supernet, and the probabilities of the relaxation."""
    probabilities = controller.sample(step)
    with axes.relaxed(probabilities):
        value = loss()
    require_scalar(value)
    return value, probabilities


def sampled_loss(
    controller: Controller, axes: Axes, loss: Callable[[], Tensor], step: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean loss ``()`` of two sampled architectures, and the one-hot probabilities of the first.

    Its gradient is an unbiased estimate of the gradient of the expected loss, in which each loss is the baseline of the
    other; see :class:`~elasticnas.search.ScoreFunction`.
    """
    drawn = [controller.sample(step) for _ in range(2)]
    archs = [controller.likeliest(one) for one in drawn]
    values = []
    for arch in archs:
        with torch.no_grad(), axes.at(arch):
            values.append(loss().detach())
    first, second = values
    surrogate = 0.5 * (first - second) * (controller.log_probability(archs[0]) - controller.log_probability(archs[1]))
    # the added difference is exactly 0: the value is the mean loss
    return 0.5 * (first + second) + (surrogate - surrogate.detach()), drawn[0]
