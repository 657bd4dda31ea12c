"""A small task of a contest, as a user would write it."""

from types import SimpleNamespace
from typing import Literal

import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.search import Problem
from elasticnas.study import Study


class Sizes(Space):
    hidden: Literal[16, 12, 8, 4]
    depth: Literal[3, 2, 1]


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.inp = enn.Linear(4, sizes.hidden)
        self.blocks = enn.Stack([enn.FeedForward(sizes.hidden, 8) for _ in range(3)], sizes.depth)
        self.out = enn.Linear(sizes.hidden, 3)

    def forward(self, x):
        return self.out(self.blocks(torch.relu(self.inp(x))))


def batches(epoch):
    x = torch.randn(5, 32, 4, generator=torch.Generator().manual_seed(epoch))
    return list(zip(x, (x.prod(-1) > 0).long() + (x[..., 0] > 1).long(), strict=True))


def loss(network, batch):
    return nn.functional.cross_entropy(network(batch[0]), batch[1])


def each(network):
    return torch.cat([nn.functional.cross_entropy(network(x), y, reduction="none") for x, y in batches(-2)])


def task(seed, device, spoilt=None, name="signs"):
    """``spoilt`` is a seed whose training fails."""

    def failing(network, batch):
        if seed == spoilt:
            raise RuntimeError("the disk is full")
        return loss(network, batch)

    model = Net(Sizes.axes()).to(device)
    problem = Problem(
        model,
        failing,
        train=batches,
        held_out=lambda epoch: batches(1000 + epoch),
        evaluate=lambda network: {"nats": sum(float(loss(network, batch)) for batch in batches(-1)) / 5},
        metric="nats",
        direction="minimise",
    )
    return Study(
        problem,
        Net,
        lambda factor: SimpleNamespace(hidden=max(1, round(16 * factor)), depth=3),
        lambda network: {"nats": each(network)},
        torch.zeros(1, 4),
        name=name,
    )


def no_study(seed, device):
    return Net(Sizes.axes())
