"""An elastic module of your own, and the proof that it keeps the law: mask == slice == extracted.

The module is a channel gate: it looks at the mean of a sequence and scales every channel of it (squeeze and excite,
arXiv:1709.01507). Nothing in it says how to slice or to mask; its parts know. Run the proof with
``python examples/own_module.py`` or ``pytest examples/own_module.py``; it takes some ten seconds.
"""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.testing import ElasticModuleContract


class Sizes(Space):
    """What may vary: the channels, and the width between them."""

    hidden: Literal[12, 8, 6]
    squeezed: Literal[4, 3, 2]


class ChannelGate(nn.Module):
    """``x * sigmoid(W2 relu(W1 mean(x)) + start)``, ``(B, N, hidden) -> (B, N, hidden)``."""

    def __init__(self, hidden, squeezed) -> None:
        super().__init__()
        self.squeeze, self.excite = enn.Linear(hidden, squeezed), enn.Linear(squeezed, hidden, bias=False)
        self.start = enn.Parameter(hidden)  # a raw parameter: one number a channel

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.relu(self.squeeze(x.mean(1)))  # (B, squeezed)
        # the sigmoid of a dead channel is 0.5; x is 0 there, and so is the product. A softmax over channels, or their
        # mean, would count dead ones: that is what enn.softmax and enn.mean are for
        excited = self.excite(seen)
        gate = torch.sigmoid(excited + enn.align(self.start, excited))
        return x * gate.unsqueeze(1)


class TestChannelGate(ElasticModuleContract):
    """Fifteen tests: what to build, what to feed, and what one call costs."""

    space, examples = Sizes, 30

    def build(self, sizes):
        return ChannelGate(sizes.hidden, sizes.squeezed)

    def inputs(self, arch, generator):
        return (torch.randn(2, 5, arch.hidden, generator=generator, dtype=torch.float64),)

    def inputs_size(self, axes):
        return axes.hidden  # the last dimension of the input, and of the output

    def flops(self, arch):
        return 2 * 2 * (2 * arch.hidden * arch.squeezed)  # two sequences, two matrices


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
