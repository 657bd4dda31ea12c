"""A small supernet, and what is searched in it."""

from dataclasses import replace
from typing import Annotated, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space
from elasticnas.cost import Flops
from elasticnas.errors import ElasticNASError
from elasticnas.search import Problem, SearchSettings, TrainerSettings


class Sizes(Space):
    hidden: Literal[8, 4]
    depth: Literal[2, 1]


class Gated(Space):
    heads: Literal[4, 2]
    kind: Literal["a", "b"]
    use_gate: bool


class Layered(Space):
    inner: Annotated[tuple[Literal[8, 4], ...], PerLayer(3)]


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        blocks = [enn.FeedForward(6, sizes.hidden) for _ in range(2)]
        self.blocks, self.head = enn.Stack(blocks, sizes.depth), nn.Linear(6, 1)

    def forward(self, x):
        return self.head(self.blocks(x))


def build(hidden, depth):
    return nn.Sequential(*(nn.Sequential(nn.Linear(6, hidden), nn.ReLU(), nn.Linear(hidden, 6)) for _ in range(depth)))


axes, gated, layered = Sizes.axes(), Gated.axes(), Layered.axes()
small, example = Sizes(hidden=4, depth=1), torch.zeros(1, 6)
model = Net(axes)
flops = Flops(model, example)
data = torch.utils.data.TensorDataset(torch.ones(8, 6), torch.ones(8, 1))
loader = torch.utils.data.DataLoader(data, batch_size=4)
searching = SearchSettings(steps=1, update_every=1, random_architectures=1)
training = TrainerSettings(steps=1)


def loss(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])


def problem(**changes):
    return replace(Problem(model, loss, loader, loader, {"flops": flops}), **changes)


def within(scope, call):
    with scope:
        return call()


def refused(line, call):
    """The call ends in this very line."""
    with pytest.raises(ElasticNASError) as raised:
        call()
    assert str(raised.value) == line
