"""A space of layers with two choices each, a model of it, and a cost written by hand."""

from typing import Annotated, Literal

import torch
from pydantic import model_validator
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space
from elasticnas.cost import Cost

__all__ = ["Ruled", "Sizes", "Work", "net", "work"]


class Sizes(Space):
    """516 architectures: two choices in each of up to three layers, and a width that scales their costs."""

    hidden: Literal[4, 2]
    depth: Literal[3, 2, 1]
    inner: Annotated[tuple[Literal[7, 5, 3], ...], PerLayer("depth")]
    heads: Annotated[tuple[Literal[2, 1], ...], PerLayer("depth")]


class Ruled(Sizes):
    @model_validator(mode="after")
    def narrow_first(self):
        if self.inner[0] == 7 and self.hidden == 2:
            raise ValueError("hidden=2 needs inner of less than 7 in the first layer")
        return self


class Block(nn.Module):
    def __init__(self, hidden, inner, heads):
        super().__init__()
        self.feed, self.attention = enn.FeedForward(hidden, inner), enn.Attention(hidden, heads, 2)

    def forward(self, x):
        return self.feed(self.attention(x))


def net(space):
    torch.manual_seed(0)
    axes = space.axes()
    parts = zip(axes.inner, axes.heads, strict=True)
    return enn.Stack([Block(axes.hidden, inner, heads) for inner, heads in parts], axes.depth)


class Work(Cost):
    unit = "work"

    def compute(self, arch):
        return work(arch)


def work(arch):
    return float(arch.hidden * (10 + sum(2 * i + 5 * h for i, h in zip(arch.inner, arch.heads, strict=True))))
