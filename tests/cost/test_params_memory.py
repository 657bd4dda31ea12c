"""Parameters and memory by hand."""

from typing import Literal

import pytest
import torch
from cost_models import Encoder, Ruled, Small, encoder, ids
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space, extract
from elasticnas.cost import Memory, Params


class Sizes(Space):
    hidden: Literal[16, 8]
    inner: Literal[24, 12]


def mlp():
    axes = Sizes.axes()
    return nn.Sequential(enn.Linear(10, axes.hidden), nn.ReLU(), enn.Linear(axes.hidden, axes.inner))


def test_params_by_hand():
    params = Params(mlp())
    for arch in Sizes.enumerate():
        assert params(arch) == 10 * arch.hidden + arch.hidden + arch.hidden * arch.inner + arch.inner
    assert params.unit == "parameters"


def test_params_equal_the_extracted_network():
    for space in (Small, Ruled):
        model = Encoder(space.axes())
        params = Params(model)
        for arch in (space.smallest(), space.largest()):
            assert params(arch) == sum(p.numel() for p in extract(model, arch).parameters())


class Tied(nn.Module):
    def __init__(self, axes):
        super().__init__()
        self.items, self.out = enn.Embedding(30, axes.hidden), enn.Linear(axes.hidden, 30, bias=False)
        self.out.weight = self.items.weight
        self.wide = enn.Linear(axes.hidden, axes.inner)

    def forward(self, x):
        return self.out(self.items(x))


def test_shared_parameters_count_once():
    model = Tied(Sizes.axes())
    arch = Sizes(hidden=8, inner=12)
    assert Params(model)(arch) == 30 * 8 + 8 * 12 + 12
    activations = 4 * (2 * 3 * 8 + 2 * 3 * 30) + 8 * 2 * 3  # looked up, scores, and int64 ids
    assert Memory(model, torch.zeros(2, 3, dtype=torch.long))(arch) == 4 * (30 * 8 + 8 * 12 + 12) + activations


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_memory_of_a_two_layer_mlp_by_hand(dtype):
    model, batch = mlp().to(dtype), 5
    memory = Memory(model, torch.zeros(batch, 10, dtype=dtype))
    for arch in Sizes.enumerate():
        weights = 10 * arch.hidden + arch.hidden + arch.hidden * arch.inner + arch.inner
        # the input stays; ReLU holds its input and its output, the second layer too
        peak = batch * (10 + arch.hidden + max(arch.hidden, arch.inner))
        assert memory(arch) == dtype.itemsize * (weights + peak)


def test_memory_frees_what_is_dead():
    axes = Sizes.axes()
    between = [nn.ReLU() for _ in range(20)]
    model = nn.Sequential(enn.Linear(10, axes.hidden), *between, enn.Linear(axes.hidden, axes.inner))
    short = nn.Sequential(enn.Linear(10, axes.hidden), nn.ReLU(), enn.Linear(axes.hidden, axes.inner))
    x = torch.zeros(5, 10)
    assert Memory(model, x)(Sizes.largest()) == Memory(short, x)(Sizes.largest())


def test_memory_counts_views_once_and_buffers():
    class Views(nn.Module):
        def __init__(self, axes):
            super().__init__()
            self.wide = enn.Linear(axes.hidden, axes.inner)
            self.enter = enn.Linear(10, axes.hidden)
            self.register_buffer("table", torch.zeros(7, dtype=torch.float64))

        def forward(self, x):
            return self.wide(self.enter(x).view(-1).view(5, -1)[:, :])

    arch = Sizes(hidden=8, inner=12)
    weights = 10 * 8 + 8 + 8 * 12 + 12
    assert Memory(Views(Sizes.axes()), torch.zeros(5, 10))(arch) == 4 * (weights + 5 * (10 + 8 + 12)) + 8 * 7


def test_memory_grows_with_the_batch():
    model = encoder(Small)
    two, eight = (Memory(model, ids().repeat(batch, 1)) for batch in (2, 8))
    arch = Small.largest()
    weights = 4 * Params(model)(arch)
    assert eight(arch) - weights == 4 * (two(arch) - weights)
