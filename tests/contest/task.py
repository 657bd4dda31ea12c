"""A small task of a contest, as a user would write it."""

import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas.search import Problem
from elasticnas.study import Study
from tests.study.signs import Sizes, batches, loss, scaled


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.inp = enn.Linear(4, sizes.hidden)
        self.blocks = enn.Stack([enn.FeedForward(sizes.hidden, 8) for _ in range(3)], sizes.depth)
        self.out = enn.Linear(sizes.hidden, 3)

    def forward(self, x):
        return self.out(self.blocks(torch.relu(self.inp(x))))


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
        scaled,
        lambda network: {"nats": each(network)},
        torch.zeros(1, 4),
        name=name,
    )


def no_study(seed, device):
    return Net(Sizes.axes())
