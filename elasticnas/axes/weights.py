"""OptionWeights: what an axis is at in a mask scope."""

from collections.abc import Callable

import torch
from torch import Tensor

from elasticnas.axes.modes import certainly
from elasticnas.axes.quantity import Quantity

__all__ = ["OptionWeights", "known_positive"]


def known_positive(weights: Tensor) -> bool:
    """Whether all are above 0; False too where to find out is to wait for a device, or to break a graph."""
    if torch.compiler.is_dynamo_compiling():
        return False
    return weights.device.type == "cpu" and certainly(lambda: weights > 0)


class OptionWeights:
    """Weights ``(..., options)`` over the options of a quantity.

    Args:
        quantity: Whose options.
        weights: At least 0.
        hard: Whether they are 1 at one option of each architecture, and 0 at all others.
    """

    def __init__(self, quantity: Quantity, weights: Tensor, hard: bool = False) -> None:
        self.quantity, self.weights, self.hard = quantity, weights, hard
        self._alive: bool | None = None

    def mask(self, like: Tensor) -> Tensor:
        """Mask ``(..., largest)`` in the dtype and device of ``like``: the weighted sum of the prefix masks."""
        # a product and a sum, not a matmul, which autocast would run in half precision
        return (self.weights.to(like).unsqueeze(-1) * self.quantity.prefixes.like(like)).sum(-2)

    @property
    def alive(self) -> bool:
        """Whether every unit is known to have a weight above 0."""
        if torch.compiler.is_dynamo_compiling():
            return False  # and no graph is guarded by what was found out
        if self._alive is None:
            self._alive = known_positive(self.weights[..., -1])  # options ascend: the last has all units
        return self._alive

    def expect(self, function: Callable[[int], float], like: Tensor) -> Tensor:
        """Expected value ``(...)`` of a function of the size."""
        values = [function(option) for option in self.quantity.options]
        wide = torch.tensor(values, dtype=torch.float64, device="cpu")
        return (self.weights.to(like) * wide.to(like)).sum(-1)
