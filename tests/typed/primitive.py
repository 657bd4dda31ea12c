"""A typed user's elastic part and its proof: what the checkers must accept."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import elasticnas
import elasticnas.nn as enn
from elasticnas import SizesOf
from elasticnas.axes import SizeLike, active_size, apply_mask, full_size, select
from elasticnas.testing import ElasticModuleContract


class Scale(enn.ElasticModule):
    def __init__(self, width: SizeLike) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.ones(full_size(width)))

    def forward(self, x: Tensor) -> Tensor:
        return apply_mask(F.silu(x) * select(self.weight, [self.width]), self.width)

    def tensor_sizes(self) -> Mapping[str, Sequence[SizeLike]]:
        return {"weight": [self.width]}

    def example(self, generator: torch.Generator) -> tuple[Tensor]:
        return (torch.randn(2, active_size(self.width), generator=generator),)

    def plain(self, memo: dict[Any, Any]) -> nn.Module:
        return super().plain(memo)


class Widths(elasticnas.Space):
    hidden: Literal[8, 4]


class ScaleContract(ElasticModuleContract[Widths]):
    space = Widths

    def build(self, sizes: SizesOf[Widths]) -> nn.Module:
        return Scale(sizes.hidden)

    def inputs(self, arch: Widths, generator: torch.Generator) -> tuple[Tensor]:
        return (torch.randn(2, arch.hidden, generator=generator),)

    def inputs_size(self, axes: SizesOf[Widths]) -> SizeLike:
        return axes.hidden

    def flops(self, arch: Widths) -> float:
        return 0.0
