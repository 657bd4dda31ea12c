"""OptionWeights: per-option weights of an axis in a mask scope."""

from collections.abc import Callable

import torch
from torch import Tensor

from elasticnas.axes.modes import known_all_true
from elasticnas.axes.quantity import Quantity

__all__ = ["OptionWeights", "known_positive"]


def known_positive(weights: Tensor) -> bool:
    """Return whether all weights are known to be above 0.

    Returns False too if reading them would wait for a device or break a graph.
    """
    if torch.compiler.is_dynamo_compiling():
        return False
    return weights.device.type == "cpu" and known_all_true(lambda: weights > 0)


class OptionWeights:
    """Weights ``(..., options)`` over the options of a quantity.

    Args:
        quantity: The quantity whose options are weighted.
        weights: The weights, at least 0.
        hard: Whether they are one-hot, without a gradient.
    """

    def __init__(self, quantity: Quantity, weights: Tensor, hard: bool = False) -> None:
        self.quantity, self.weights, self.hard = quantity, weights, hard
        self._alive: bool | None = None

    def mask(self, like: Tensor) -> Tensor:
        """Return the mask ``(..., largest)``, the weighted sum of prefix masks, with dtype and device of ``like``."""
        # a product and a sum instead of a matmul, which autocast would run in half precision
        return (self.weights.to(like).unsqueeze(-1) * self.quantity.prefixes.like(like)).sum(-2)

    @property
    def alive(self) -> bool:
        """Whether every unit is known to have a weight above 0."""
        if torch.compiler.is_dynamo_compiling():
            return False  # so that no graph gets a guard on the cached answer
        if self._alive is None:
            self._alive = known_positive(self.weights[..., -1])  # options ascend: the last has all units
        return self._alive

    def expect(self, function: Callable[[int], float], like: Tensor) -> Tensor:
        """Return the expected value ``(...)`` of a function of the size."""
        values = [function(option) for option in self.quantity.options]
        wide = torch.tensor(values, dtype=torch.float64, device="cpu")
        return (self.weights.to(like) * wide.to(like)).sum(-1)
