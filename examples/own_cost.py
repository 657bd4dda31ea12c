"""A cost of your own: the energy of one inference pass, computed from FLOPs and the weights that are read.

Run the test with ``python examples/own_cost.py`` or ``pytest examples/own_cost.py``; it takes about ten seconds.
docs/own-cost.md explains each part.
"""

from typing import Any, Literal

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.cost import Cost, Flops, Params
from elasticnas.testing import CostContract


class Energy(Cost):
    """Energy of one pass in microjoules: arithmetic, and every weight read once from memory.

    Args:
        model: A supernet.
        example: Input of the model.
        per_flop: Picojoules of one floating-point operation.
        per_byte: Picojoules of reading one byte.
    """

    unit = "uJ"

    def __init__(self, model: nn.Module, example: Any, per_flop: float = 2.0, per_byte: float = 160.0) -> None:
        super().__init__(model, example)
        self.per_flop, self.per_byte = per_flop, per_byte  # public, so part of the identity
        self._flops, self._params = Flops(model, example), Params(model)

    def compute(self, arch: Any) -> float:
        """Return the energy of an architecture in microjoules."""
        return 1e-6 * (self.per_flop * self._flops(arch) + self.per_byte * 4 * self._params(arch))


class Sizes(Space):
    hidden: Literal[16, 8, 4]
    depth: Literal[2, 1]


class Net(nn.Module):
    def __init__(self, sizes) -> None:
        super().__init__()
        self.blocks = enn.Stack([enn.FeedForward(6, sizes.hidden) for _ in range(2)], sizes.depth)

    def forward(self, x):
        return self.blocks(x)


class TestEnergy(CostContract):
    """Check the contract, and the value by hand."""

    space = Sizes

    def build(self, sizes):
        return Net(sizes)

    def cost(self, model):
        return Energy(model, torch.zeros(3, 6))

    def by_hand(self, arch):
        # a layer is 6 -> hidden -> 6 with biases, on three rows
        flops = arch.depth * 3 * 2 * (6 * arch.hidden + arch.hidden * 6)
        weights = arch.depth * (6 * arch.hidden + arch.hidden + arch.hidden * 6 + 6)
        return (2.0 * flops + 160.0 * 4 * weights) / 1e6


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
