"""What a step demands of losses and gradients before they reach weights, architecture parameters and checkpoints."""

from typing import Any

import torch
from torch import Tensor

from elasticnas.errors import SearchError

__all__ = ["require_finite", "require_finite_gradients", "require_scalar"]


def require_scalar(loss: Any, returned_by: str = "loss returns") -> None:
    """Refuse a loss that is no tensor ``()`` with a graph.

    Raises:
        SearchError: It says what was given.
    """
    if isinstance(loss, Tensor) and loss.ndim == 0 and loss.requires_grad:
        return
    given = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"{type(loss).__name__} {loss!r}"
    if isinstance(loss, Tensor) and not loss.requires_grad:
        given += " without a gradient"
    raise SearchError(f"the loss is {given}; {returned_by} a scalar tensor that depends on the weights")


def require_finite(loss: Tensor, what: str, step: int) -> None:
    """Refuse a loss ``()`` that is not finite.

    Raises:
        SearchError: It names ``what`` the loss is and the step.
    """
    if not bool(torch.isfinite(loss)):
        raise SearchError(f"the {what} is {float(loss.detach())} at step {step}: lower the learning rate")


def require_finite_gradients(norm: Tensor, of: str, step: int) -> None:
    """Refuse gradients whose norm ``()`` is not finite under a finite loss.

    Raises:
        SearchError: It names whose gradients they are, their norm and the step.
    """
    if not bool(torch.isfinite(norm)):
        raise SearchError(
            f"the gradients{of} have the norm {float(norm)} at step {step} although the losses are finite: "
            "lower the learning rate, or look for a square root, a logarithm or a division at 0"
        )
