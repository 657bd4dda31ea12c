"""Small models and spaces for the cost tests."""

from typing import Annotated, Literal

import torch
from pydantic import model_validator
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space

LENGTH = 6


class Small(Space):
    hidden: Literal[16, 8]
    inner: Literal[24, 12]
    depth: Literal[1, 2, 3]


class Ruled(Space):
    """A rule, a derived size and layers of their own."""

    hidden: Literal[24, 16, 8]
    heads: Literal[4, 2, 3]
    depth: Literal[1, 2]
    inner: Annotated[tuple[Literal[12, 20], ...], PerLayer(2)]

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @model_validator(mode="after")
    def heads_divide_hidden(self):
        if self.hidden % self.heads:
            raise ValueError(f"{self.heads} heads do not divide hidden {self.hidden}")
        return self


class Layer(nn.Module):
    def __init__(self, hidden, inner, heads, head_dim):
        super().__init__()
        self.norm = enn.LayerNorm(hidden)
        self.attention = enn.Attention(hidden, heads, head_dim)
        self.feed = enn.FeedForward(hidden, inner)

    def forward(self, x):
        x = x + self.attention(self.norm(x))
        return x + self.feed(x)


class Encoder(nn.Module):
    def __init__(self, axes):
        super().__init__()
        inner = axes.inner if isinstance(axes.inner, tuple) else (axes.inner,) * 3
        heads, head_dim = (axes.heads, axes.head_dim) if hasattr(axes, "heads") else (2, 4)
        self.items = enn.Embedding(50, axes.hidden)
        self.layers = enn.Stack([Layer(axes.hidden, width, heads, head_dim) for width in inner], axes.depth)

    def forward(self, ids):
        return self.layers(self.items(ids))


def ids():
    return torch.zeros(1, LENGTH, dtype=torch.long)


def encoder(space):
    return Encoder(space.axes())


def encoder_flops(arch):
    """By hand: 2 FLOPs a multiply-add; four projections, scores and their use, two dense layers."""
    total, n = 0, LENGTH
    heads, head_dim = getattr(arch, "heads", 2), getattr(arch, "head_dim", 4)
    inner = arch.inner if isinstance(arch.inner, tuple) else (arch.inner,) * 3
    for width in inner[: arch.depth]:
        attended = heads * head_dim
        total += 4 * 2 * n * arch.hidden * attended + 2 * 2 * n * n * attended + 2 * 2 * n * arch.hidden * width
    return total
