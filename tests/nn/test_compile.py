"""Mask mode under torch.compile: one graph, compiled once, for any number of architectures."""

import itertools
import random
from typing import Literal

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import elasticnas.nn as enn
from elasticnas import Space


class Sizes(Space):
    """288 architectures."""

    hidden: Literal[24, 16, 8]
    inner: Literal[32, 16, 8, 4]
    heads: Literal[4, 2, 1]
    head_dim: Literal[6, 4]
    rank: Literal[4, 2]
    depth: Literal[2, 1]


class Block(nn.Module):
    def __init__(self, sizes, kind):
        super().__init__()
        self.first, self.second = enn.LayerNorm(sizes.hidden), enn.RMSNorm(sizes.hidden)
        self.attention = enn.Attention(sizes.hidden, sizes.heads, sizes.head_dim, kind=kind, causal=True)
        self.ffn = enn.FeedForward(sizes.hidden, sizes.inner, gated=True)
        self.gate = enn.DataAwareGate(sizes.hidden, sizes.hidden, rank=sizes.rank)

    def forward(self, x, padding):
        x = x + self.attention(self.first(x), padding)
        return x + self.gate(x) * self.ffn(self.second(x))


class Model(nn.Module):
    def __init__(self, sizes, kind="softmax"):
        super().__init__()
        self.items, self.positions = enn.Embedding(11, sizes.hidden), enn.Parameter(6, sizes.hidden)
        self.layers = enn.Stack([Block(sizes, kind) for _ in range(2)], sizes.depth)

    def forward(self, ids):
        return self.items.scores(self.layers(self.items(ids) + self.positions, ids == 0))


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def supernet(kind="softmax"):
    torch.manual_seed(0)
    model = Model(Sizes.axes(), kind)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


# torch's debugging backend aot_eager lays out LinRec's backward otherwise than it traced it; inductor does not
@pytest.mark.parametrize(("kind", "backend"), [("softmax", "aot_eager"), ("linrec", "eager")])
def test_one_compilation_for_sixteen_architectures(kind, backend):
    counted, model = CompileCounterWithBackend(backend), supernet(kind)
    compiled = torch.compile(model, backend=counted, fullgraph=True)
    axes, ids = model.items.hidden.axes, torch.randint(0, 11, (3, 6))
    rng = random.Random(0)
    for arch in [Sizes.sample(rng) for _ in range(16)]:
        gradients = []
        for form in (model, compiled):
            model.zero_grad(set_to_none=True)
            with axes.at(arch, masked=True):
                output = form(ids)
            output.square().sum().backward()
            gradients.append([output.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
        for eager, fast in itertools.zip_longest(*gradients):
            torch.testing.assert_close(fast, eager)
    assert counted.frame_count == 1


def test_one_compilation_for_batches_of_architectures():
    """Per-sample masks are one more graph, and no more than that."""
    counted, model = CompileCounterWithBackend("aot_eager"), supernet()
    compiled = torch.compile(model, backend=counted, fullgraph=True)
    axes, ids = model.items.hidden.axes, torch.randint(0, 11, (3, 6))
    rng = random.Random(1)
    for _ in range(6):
        archs = [Sizes.sample(rng) for _ in range(3)]
        with axes.at(archs), torch.no_grad():
            torch.testing.assert_close(compiled(ids), model(ids))
    assert counted.frame_count == 1
