"""An elastic module of your own, and a test of the law: mask == slice == extracted.

The module is a channel gate that scales every channel of a sequence by a function of the sequence's mean
(squeeze-and-excitation, arXiv:1709.01507). It has no code for slicing or masking; its parts do that. Run the test with
``python examples/own_module.py`` or ``pytest examples/own_module.py``; it takes about ten seconds.
"""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.testing import ElasticModuleContract


class Sizes(Space):
    """The number of channels, and the width of the bottleneck."""

    hidden: Literal[12, 8, 6]
    squeezed: Literal[4, 3, 2]


class ChannelGate(nn.Module):
    """``x * sigmoid(W2 relu(W1 mean(x)) + start)``, ``(B, N, hidden) -> (B, N, hidden)``."""

    def __init__(self, hidden, squeezed) -> None:
        super().__init__()
        self.squeeze, self.excite = enn.Linear(hidden, squeezed), enn.Linear(squeezed, hidden, bias=False)
        self.start = enn.Parameter(hidden)  # one number per channel

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.relu(self.squeeze(x.mean(1)))  # (B, squeezed)
        # the sigmoid of a dead channel is 0.5, but x is 0 there, so the product is 0. A softmax or mean over channels
        # would count dead ones: use enn.softmax and enn.mean
        excited = self.excite(seen)
        gate = torch.sigmoid(excited + enn.align(self.start, excited))
        return x * gate.unsqueeze(1)


class TestChannelGate(ElasticModuleContract):
    """Fifteen tests of the law, and of the FLOPs of one call."""

    space, examples = Sizes, 30

    def build(self, sizes):
        return ChannelGate(sizes.hidden, sizes.squeezed)

    def inputs(self, arch, generator):
        return (torch.randn(2, 5, arch.hidden, generator=generator, dtype=torch.float64),)

    def inputs_size(self, axes):
        return axes.hidden  # the last dimension of input and output

    def flops(self, arch):
        return 2 * 2 * (2 * arch.hidden * arch.squeezed)  # two sequences, two matrices


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
