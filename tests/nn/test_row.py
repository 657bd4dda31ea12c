"""One position of every sample: equal to that row of the whole, forward and gradients, in every scope."""

from contextlib import nullcontext
from typing import Literal

import pytest
import torch

import elasticnas.nn as enn
from elasticnas import Space

TIMES = torch.randint(10**5, (5, 7), generator=torch.Generator().manual_seed(0))


class Sizes(Space):
    hidden: Literal[12, 8]
    heads: Literal[4, 2]

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


def attention(kind, causal, sizes):
    widths = sizes.hidden, sizes.heads, sizes.head_dim
    relative = enn.RelativeBias(buckets=30, causal=causal) if kind.endswith("timed") else None
    if kind.startswith("pointwise"):
        return enn.PointwiseAttention(*widths, length=7, causal=causal, relative=relative)
    if relative is not None:
        return enn.Attention(*widths, causal=causal, relative=enn.RelativeBias(7, 30, causal))
    kind, _, norm = kind.partition("-")
    return enn.Attention(*widths, kind, causal, key_norm=norm or "column")


def outcome(module, x, padding, row, whole):
    x = x.clone().requires_grad_()
    timed = getattr(module, "relative", None) is not None
    times = {"times": TIMES, "query_times": TIMES + 1000} if timed else {}
    out = enn.take_row(module(x, padding, **times), row) if whole else module(x, padding, row, **times)
    gradients = torch.autograd.grad(out.square().sum(), [x, *module.parameters()], allow_unused=True)
    return out.detach(), *gradients


@pytest.mark.parametrize("kind", ["softmax", "linrec", "linrec-token", "pointwise", "softmax-timed", "pointwise-timed"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("padded", ["none", "right", "left", "one key"])
@pytest.mark.parametrize("scope", ["plain", "slice", "mask", "soft"])
def test_a_row_of_the_whole(kind, causal, padded, scope):
    torch.manual_seed(0)
    axes = Sizes.axes()
    small = Sizes(hidden=8, heads=2)
    module = attention(kind, causal, small if scope == "plain" else axes).double()
    x = torch.randn(5, 7, 12 if scope in ("mask", "soft") else 8, dtype=torch.float64)
    row = torch.tensor([0, 6, 3, 5, 1])
    position = torch.arange(7)
    padding = {
        "none": None,
        "right": position[None] > torch.tensor([6, 6, 4, 5, 1])[:, None],
        "left": position[None] < torch.tensor([0, 2, 3, 5, 1])[:, None],
        "one key": position[None] != row[:, None],
    }[padded]
    soft = {"hidden": torch.tensor([0.3, 0.7]), "heads": torch.tensor([0.6, 0.4])}
    scopes = {"plain": nullcontext, "slice": lambda: axes.at(small), "mask": lambda: axes.masked(small)}
    with scopes.get(scope, lambda: axes.relaxed(soft))():
        pairs = zip(outcome(module, x, padding, row, False), outcome(module, x, padding, row, True), strict=True)
        for one, whole in pairs:
            if one is None or whole is None:  # a parameter that the row does not reach
                assert one is whole is None or not (one if whole is None else whole).any()
            else:
                torch.testing.assert_close(one, whole, rtol=1e-10, atol=1e-12)


def test_a_padded_row_is_zero():
    padding = torch.tensor([[False, True, True], [True, True, True]])
    for kind in ("softmax", "linrec"):
        out = enn.Attention(4, 2, 2, kind, causal=True)(torch.randn(2, 3, 4), padding, torch.tensor([2, 0]))
        assert out.shape == (2, 1, 4) and not out.any()
