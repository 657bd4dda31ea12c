"""Second-order architecture gradients by DARTS's finite difference."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["unrolled_gradients"]


def unrolled_gradients(
    train_loss: Callable[[], Tensor],
    held_out_loss: Callable[[], Tensor],
    weights: Sequence[Tensor],
    logits: Sequence[Tensor],
    rate: float,
) -> tuple[list[Tensor], Tensor]:
    """Compute the gradient of the held-out loss, after one virtual training step, with respect to the logits.

    The product with the mixed second derivative is a finite difference of two first-order gradients (fused attention
    has no double backward). The weights are restored exactly.

    Args:
        train_loss: Returns the training loss at the current weights, with the same noise at every call.
        held_out_loss: Returns the held-out loss at the current weights.
        weights: Weight parameters.
        logits: Architecture parameters.
        rate: Learning rate of the virtual step (xi).

    Returns:
        One gradient per logit tensor, and the held-out loss after the virtual step.

    Source: DARTS, arXiv:1806.09055, Eq. 7 and 8.
    """
    saved = [weight.detach().clone() for weight in weights]
    try:
        _shift(weights, saved, _gradients(train_loss(), weights), -rate)
        loss = held_out_loss()
        both = torch.autograd.grad(loss, [*logits, *weights], allow_unused=True)
        first = [_or_zero(grad, logit) for grad, logit in zip(both[: len(logits)], logits, strict=True)]
        offset = [_or_zero(grad, weight) for grad, weight in zip(both[len(logits) :], weights, strict=True)]
        norm = torch.sqrt(sum((grad.double().square().sum() for grad in offset), torch.zeros((), dtype=torch.float64)))
        epsilon = 0.01 / max(float(norm), 1e-12)
        _shift(weights, saved, offset, epsilon)
        above = _gradients(train_loss(), logits)
        _shift(weights, saved, offset, -epsilon)
        below = _gradients(train_loss(), logits)
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, saved, strict=True):
                weight.copy_(value)
    gradients = [
        direct - rate * (up - down) / (2 * epsilon) for direct, up, down in zip(first, above, below, strict=True)
    ]
    return gradients, loss.detach()


def _gradients(loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(inputs), allow_unused=True)
    return [_or_zero(grad, value) for grad, value in zip(found, inputs, strict=True)]


def _or_zero(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient


@torch.no_grad()
def _shift(weights: Sequence[Tensor], saved: Sequence[Tensor], direction: Sequence[Tensor], size: float) -> None:
    for weight, start, step in zip(weights, saved, direction, strict=True):
        weight.copy_(start + size * step)
