"""ScalingStack: a custom container, in which contract tests put the tested module."""

from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.nn import Mixture, Stack

__all__ = ["ScalingStack"]


class ScalingStack(Stack):
    """A container that multiplies a module's output by 2: a subclass with its own forward and buffer.

    Args:
        module: The module, held in a Mixture in a Stack and also as an attribute ``same``.
    """

    factor: Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__([Mixture({"only": module}, "only")], 1)
        self.register_buffer("factor", torch.tensor(2.0, dtype=torch.float64))
        self.same = module

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return ``2 * layers(x)``."""
        out: Tensor = self.factor * super().forward(x, *args, **kwargs)
        return out
