"""An elastic leaf of your own: a convolution with channels in dimension 1, and its test.

A leaf holds full-size tensors. It declares the sizes of their dimensions, narrows them in its forward, and creates the
plain module that replaces it in an extracted network. docs/own-primitive.md explains each part. Run the test with
``python examples/own_leaf.py`` or ``pytest examples/own_leaf.py``; it takes about ten seconds.
"""

from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.axes import (
    SizeLike,
    active_size,
    apply_mask,
    apply_support,
    full_size,
    is_elastic,
    select,
    without_dead,
)
from elasticnas.testing import ElasticModuleContract


class ElasticConv1d(enn.ElasticModule):
    """Elastic convolution over a sequence, ``(B, inputs, N) -> (B, outputs, N)``, created by :func:`Conv1d`."""

    def __init__(self, inputs: SizeLike, outputs: SizeLike, kernel: int) -> None:
        super().__init__()
        self.inputs, self.outputs, self.kernel = inputs, outputs, kernel
        full = nn.Conv1d(full_size(inputs), full_size(outputs), kernel, padding="same")
        self.weight, self.bias = full.weight, full.bias

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, N) -> (B, outputs, N)``."""
        sizes = self.tensor_sizes()
        # values of dead units, in the weights or in the input, must not affect the output, even if they are NaN
        weight, bias = (without_dead(select(getattr(self, name), sizes[name]), sizes[name]) for name in sizes)
        out = F.conv1d(apply_support(x, self.inputs, dim=1), weight, bias, padding="same")
        return apply_mask(out, self.outputs, dim=1)

    def tensor_sizes(self) -> dict[str, list[SizeLike]]:
        """Sizes of weight and bias."""
        return {"weight": [self.outputs, self.inputs, self.kernel], "bias": [self.outputs]}

    def example(self, generator: torch.Generator) -> tuple[Tensor]:
        """Return an input ``(2, inputs, 5)``."""
        return (torch.randn(2, active_size(self.inputs), 5, generator=generator).to(self.weight),)

    def plain(self, memo: dict[Any, Any]) -> nn.Conv1d:
        """Return a ``torch.nn.Conv1d`` of the active sizes."""
        inputs, outputs = active_size(self.inputs), active_size(self.outputs)
        plain = nn.Conv1d(inputs, outputs, self.kernel, padding="same", device="meta")
        for name, sizes in self.tensor_sizes().items():
            setattr(plain, name, enn.inherit(getattr(self, name), sizes, memo))
        return plain


def Conv1d(inputs: SizeLike, outputs: SizeLike, kernel: int) -> nn.Module:
    """Return an elastic convolution, or torch's own if both sizes are ints."""
    if is_elastic(inputs, outputs):
        return ElasticConv1d(inputs, outputs, kernel)
    return nn.Conv1d(inputs, outputs, kernel, padding="same")


class Sizes(Space):
    """Two widths."""

    channels: Literal[8, 6, 3]
    filters: Literal[7, 4]


class TestElasticConv1d(ElasticModuleContract):
    """Check the law, with elastic channels in dimension 1, and the FLOPs of one call."""

    space, examples = Sizes, 30
    inputs_dim = outputs_dim = 1

    def build(self, sizes):
        return Conv1d(sizes.channels, sizes.filters, 3)

    def inputs(self, arch, generator):
        return (torch.randn(2, arch.channels, 5, generator=generator, dtype=torch.float64),)

    def inputs_size(self, axes):
        return axes.channels

    def outputs_size(self, axes):
        return axes.filters

    def flops(self, arch):
        return 2 * 2 * 5 * arch.channels * arch.filters * 3  # two sequences of five, a kernel of three


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
