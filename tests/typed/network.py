"""A typed user's space and network: what the checkers must accept."""

from types import ModuleType
from typing import Annotated, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn
from typing_extensions import Self, assert_type

import elasticnas
import elasticnas.nn as enn
from elasticnas import PerLayer, Range, SizesOf


class Head(elasticnas.Space):
    width: Literal[8, 4]


class Encoder(elasticnas.Space):
    hidden: Literal[32, 16, 8]
    heads: Literal[4, 2]
    inner: Annotated[int, Range(16, 64, step=16)]
    keep: Annotated[tuple[bool, ...], PerLayer(3)]
    gated: bool
    head: Head

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @model_validator(mode="after")
    def not_too_wide(self) -> Self:
        if self.hidden == 32 and self.inner == 64:
            raise ValueError("too wide")
        return self


class Block(nn.Module):
    def __init__(self, sizes: SizesOf[Encoder]) -> None:
        super().__init__()
        self.norm = enn.LayerNorm(sizes.hidden)
        self.attention = enn.Attention(sizes.hidden, sizes.heads, sizes.head_dim, causal=True)
        self.feed_forward = enn.FeedForward(sizes.hidden, sizes.inner)
        self.extra = enn.DepthSkip(enn.Linear(sizes.hidden, sizes.hidden), sizes.gated)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm(x))
        out: Tensor = self.extra(x + self.feed_forward(x))
        return out


class Net(nn.Module):
    def __init__(self, sizes: SizesOf[Encoder]) -> None:
        super().__init__()
        self.start = enn.Linear(3, sizes.hidden)
        self.blocks = enn.Stack([Block(sizes) for _ in range(3)], sizes.keep)
        self.middle = enn.Linear(sizes.hidden, 2 * sizes.head.width)
        self.end = enn.Linear(2 * sizes.head.width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.end(self.middle(self.blocks(self.start(x))))
        return out


PACKAGES: list[ModuleType] = [
    elasticnas.axes,
    elasticnas.contest,
    elasticnas.cost,
    elasticnas.elastic,
    elasticnas.errors,
    elasticnas.export,
    elasticnas.extraction,
    elasticnas.nn,
    elasticnas.parallel,
    elasticnas.plugins,
    elasticnas.report,
    elasticnas.run,
    elasticnas.search,
    elasticnas.space,
    elasticnas.study,
    elasticnas.testing,
]

axes = Encoder.axes()
arch = Encoder.largest()
assert_type(arch, Encoder)
assert_type(arch.hidden, Literal[32, 16, 8])
assert_type(axes.hidden, Literal[32, 16, 8])
assert_type(axes.keep, tuple[bool, ...])
assert_type(axes.head.width, Literal[8, 4])
assert_type(axes.head_dim, int)
assert_type(axes.named("hidden"), elasticnas.Axis)
assert_type(Encoder.smallest().inner, int)
assert_type(Encoder.neighbours(arch), list[Encoder])
assert_type(next(Encoder.enumerate()), Encoder)
assert_type(Encoder.from_yaml(arch.to_yaml()), Encoder)
supernet, plain = Net(axes), Net(arch)


def scopes(x: Tensor) -> None:
    with axes.at(arch):
        supernet(x)
    with axes.masked([arch] * len(x)):
        supernet(x)
    with axes.relaxed({"hidden": torch.full((3,), 1 / 3), "head": {"width": torch.tensor([0.5, 0.5])}}):
        supernet(x)
