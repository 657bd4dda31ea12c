"""End: the elastic dimension of a model's input or output, between the active and the full size."""

from dataclasses import dataclass

import torch
from torch import Tensor

from elasticnas.axes import Axes, SizeLike, full_size, select
from elasticnas.space import Space

__all__ = ["End", "embed"]


@dataclass(frozen=True)
class End:
    """The dimension of an input or output that an architecture narrows.

    Args:
        size: What it holds; an int or None where it is not elastic.
        dim: Which one it is.
        axes: Whose scope narrows it.
        arch: The architecture of that scope.
    """

    size: SizeLike | None
    dim: int
    axes: Axes | Space
    arch: Space

    @property
    def elastic(self) -> bool:
        """Whether architectures differ in it."""
        return self.size is not None and not isinstance(self.size, int)

    def places(self) -> Tensor:
        """``(active,)``: where the active units stand in the full size."""
        assert self.size is not None
        with self.axes.at(self.arch):
            return select(torch.arange(full_size(self.size)), [self.size])

    def embed(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """A sliced tensor in the full size, ``fill`` at the dead places."""
        if self.size is None or not self.elastic:
            return x
        shape = list(x.shape)
        shape[self.dim] = full_size(self.size)
        return x.new_full(shape, fill).index_copy(self.dim, self.places(), x)

    def active(self, x: Tensor) -> Tensor:
        """The active units of a tensor of full size."""
        return x.index_select(self.dim, self.places()) if self.elastic else x

    def dead(self, x: Tensor) -> Tensor:
        """The other units of a tensor of full size."""
        if not self.elastic:
            return x[:0]
        dead = torch.ones(x.shape[self.dim], dtype=torch.bool)
        dead[self.places()] = False
        return x.index_select(self.dim, dead.nonzero().flatten())


def embed(
    x: Tensor, size: SizeLike | None, axes: Axes | Space, arch: Space, fill: float = 0.0, dim: int = -1
) -> Tensor:
    """Put a dimension of a sliced tensor into its places in the full size.

    Args:
        x: ``(..., active, ...)``.
        size: What the dimension holds; None leaves ``x`` as it is.
        axes: Whose scope it was sliced in.
        arch: The architecture of that scope.
        fill: Value of the dead places.
        dim: The dimension.
    """
    return End(size, dim, axes, arch).embed(x, fill)
