"""ScalingStack: a container of a user's own, to hold a part that is tested."""

from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.nn import Mixture, Stack

__all__ = ["ScalingStack"]


class ScalingStack(Stack):
    """Twice what a module gives; a subclass with a forward, a buffer and a second name for the module it holds.

    Args:
        module: What is held, in a Mixture in a Stack.
    """

    factor: Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__([Mixture({"only": module}, "only")], 1)
        self.register_buffer("factor", torch.tensor(2.0, dtype=torch.float64))
        self.same = module

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """``2 * layers(x)``."""
        out: Tensor = self.factor * super().forward(x, *args, **kwargs)
        return out
