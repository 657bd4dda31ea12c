"""Mask mode under torch.compile: one graph, compiled once, for any number of architectures."""

import itertools
import random
from typing import Literal

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import elasticnas.nn as enn
from easrec.config import ModelConfig
from easrec.model import supernet as easrec_supernet
from elasticnas import Space, axes_of


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
        x = self.items(ids)
        return self.items.scores(self.layers(x + enn.align(self.positions, x), ids == 0))


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


def compiled_once(model, x, archs, backend):
    """One graph for all architectures, which computes what the model does, gradients included."""
    model = model.double()  # full sizes may skip what removes dead units when run eagerly: the same but for rounding
    counted, axes = CompileCounterWithBackend(backend), axes_of(model)
    compiled = torch.compile(model, backend=counted, fullgraph=True)
    for arch in archs:
        gradients = []
        for form in (model, compiled):
            model.zero_grad(set_to_none=True)
            with axes.masked(arch):
                output = form(x)
            output.square().sum().backward()
            gradients.append([output.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
        for eager, fast in itertools.zip_longest(*gradients):
            torch.testing.assert_close(fast, eager)
    assert counted.frame_count == 1


# torch's debugging backend aot_eager lays out LinRec's backward otherwise than it traced it; inductor does not
@pytest.mark.parametrize(("kind", "backend"), [("softmax", "aot_eager"), ("linrec", "eager")])
def test_one_compilation_for_sixteen_architectures(kind, backend):
    rng = random.Random(0)
    archs = [Sizes.sample(rng) for _ in range(16)]
    compiled_once(supernet(kind), torch.randint(0, 11, (3, 6)), archs, backend)


class Branches(Space):
    hidden: Literal[16, 12, 8]
    kind: Literal["wide", "flat"]


class Mixed(nn.Module):
    """Branches, run whole or each sliced to its own sizes."""

    def __init__(self, sizes, sliced):
        super().__init__()
        self.enter, self.leave = enn.Linear(4, sizes.hidden), enn.Linear(sizes.hidden, 3)
        branches = {"wide": enn.FeedForward(sizes.hidden, 8), "flat": enn.Linear(sizes.hidden, sizes.hidden)}
        self.mixture = enn.Mixture(branches, sizes.kind, inputs=sizes.hidden if sliced else None)

    def forward(self, x):
        return self.leave(self.mixture(self.enter(x)))


@pytest.mark.parametrize("sliced", [False, True])
def test_one_compilation_for_a_mixture_of_branches(sliced):
    compiled_once(
        Mixed(Branches.axes(), sliced), torch.randn(5, 4, dtype=torch.float64), list(Branches.enumerate()), "aot_eager"
    )


SUPERNETS = [
    ("softmax", {"mixing": "block"}),
    ("linrec", {"mixing": "mask"}),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in (
            ("softmax", {"mixing": "mask"}),
            ("linrec", {"mixing": "block"}),
            ("softmax", {"weights": "separate"}),
            ("linrec", {"weights": "separate"}),
        )
    ),
]


@pytest.mark.parametrize(("kind", "changes"), SUPERNETS, ids=str)
def test_one_compilation_for_the_supernet_of_easrec(kind, changes):
    config = ModelConfig(attention=kind, length=6, layers=2, hidden=16, inner=32, dropout=0.0, **changes)
    model = easrec_supernet(config, 11, True)
    archs = list(axes_of(model).space.enumerate())
    compiled_once(model, torch.randint(1, 11, (3, 6)), archs, "aot_eager" if kind == "softmax" else "eager")


def test_one_compilation_for_batches_of_architectures():
    """Per-sample masks are one more graph, and no more than that."""
    counted, model = CompileCounterWithBackend("aot_eager"), supernet()
    compiled = torch.compile(model, backend=counted, fullgraph=True)
    axes, ids = model.items.hidden.axes, torch.randint(0, 11, (3, 6))
    rng = random.Random(1)
    for _ in range(6):
        archs = [Sizes.sample(rng) for _ in range(3)]
        with axes.masked(archs), torch.no_grad():
            torch.testing.assert_close(compiled(ids), model(ids))
    assert counted.frame_count == 1


def test_a_sliced_graph_is_made_once_for_an_architecture():
    """What a scope remembers of its sizes is no reason to compile again."""
    model = supernet()
    counted, axes = CompileCounterWithBackend("aot_eager"), axes_of(model)
    compiled, x = torch.compile(model, backend=counted, fullgraph=True), torch.randint(1, 5, (2, 6))
    arch = axes.space.smallest()
    for _ in range(3):
        with axes.at(arch):
            torch.testing.assert_close(compiled(x), model(x))
    assert counted.frame_count == 1


def test_a_scope_may_be_opened_inside_the_compiled_function():
    model = supernet()
    axes, x = axes_of(model), torch.randint(1, 5, (2, 6))
    small, large = axes.space.smallest(), axes.space.largest()

    def both(x):
        with axes.at(small):
            first = model(x)
        with axes.at(large):
            return first, model(x)

    for mine, theirs in zip(torch.compile(both, backend="aot_eager", fullgraph=True)(x), both(x), strict=True):
        torch.testing.assert_close(mine, theirs)


class Wide(Space):
    hidden: Literal[8, 4]
    depth: Literal[2, 1]


def test_a_graph_with_symbolic_sizes_takes_an_architecture_per_sample():
    axes, arch = Wide.axes(), Wide(hidden=4, depth=1)
    blocks = enn.Stack([enn.FeedForward(6, axes.hidden) for _ in range(2)], axes.depth).eval()
    compiled, x = torch.compile(blocks, backend="eager", fullgraph=True), torch.randn(3, 6)
    for scope in (axes.at(arch), axes.masked(arch), axes.relaxed({"hidden": [0.5, 0.5]}), axes.masked([arch] * 3)):
        with scope:
            torch.testing.assert_close(compiled(x), blocks(x))
