"""One training step, and its FLOPs."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from easrec.data import Batch

__all__ = ["Step", "flops"]


class Step:
    """Forward, loss, backward and Adam, as in the recipe's training.

    Args:
        model: Model whose parameters are trained.
        loss: ``loss(model, batch)``.
        batch: The batch of every step.
        scope: Context around forward and loss; None for no context.
        runs: First argument of the loss; None for the model.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Any, Batch], Tensor],
        batch: Batch,
        scope: Callable[[], AbstractContextManager[Any]] | None = None,
        runs: Any = None,
    ) -> None:
        self.loss, self.batch, self.scope = loss, batch, nullcontext if scope is None else scope
        self.runs = model.train() if runs is None else runs
        self.optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def __call__(self) -> None:
        """Run one step."""
        with self.scope():
            loss = self.loss(self.runs, self.batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def flops(run: Callable[[], object]) -> float:
    """Return the FLOPs of a computation with its backward, counted by torch; softmax attention as the full N x N.

    Attention runs unfused, because torch's counter does not know the fused form of the CPU.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())
