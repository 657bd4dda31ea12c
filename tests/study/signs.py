"""A small task of studies and contests: its sizes, batches, loss and uniformly scaled network."""

from types import SimpleNamespace
from typing import Literal

import torch
from torch import nn

from elasticnas import Space

__all__ = ["Sizes", "batches", "loss", "scaled"]


class Sizes(Space):
    hidden: Literal[16, 12, 8, 4]
    depth: Literal[3, 2, 1]


def scaled(factor):
    return SimpleNamespace(hidden=max(1, round(16 * factor)), depth=3)


def batches(epoch):
    x = torch.randn(5, 32, 4, generator=torch.Generator().manual_seed(epoch))
    return list(zip(x, (x.prod(-1) > 0).long() + (x[..., 0] > 1).long(), strict=True))


def loss(network, batch):
    return nn.functional.cross_entropy(network(batch[0]), batch[1])
