"""End: the elastic dimension of a model's input or output, converted between active and full size."""

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
        size: Its size; an int or None if it is not elastic.
        dim: Its index.
        axes: The axes of the model.
        arch: The architecture.
    """

    size: SizeLike | None
    dim: int
    axes: Axes | Space
    arch: Space

    @property
    def elastic(self) -> bool:
        """Whether the dimension is elastic."""
        return self.size is not None and not isinstance(self.size, int)

    def positions(self, device: torch.device) -> Tensor:
        """Return the indices of the active units in the full size, ``(active,)``, on a device."""
        assert self.size is not None
        with self.axes.at(self.arch):
            return select(torch.arange(full_size(self.size), device=device), [self.size])

    def embed(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """Return a sliced tensor embedded in the full size, with ``fill`` at the dead units."""
        if self.size is None or not self.elastic:
            return x
        shape = list(x.shape)
        shape[self.dim] = full_size(self.size)
        return x.new_full(shape, fill).index_copy(self.dim, self.positions(x.device), x)

    def active(self, x: Tensor) -> Tensor:
        """Return the active units of a full-size tensor."""
        return x.index_select(self.dim, self.positions(x.device)) if self.elastic else x

    def dead(self, x: Tensor) -> Tensor:
        """Return the dead units of a full-size tensor."""
        if not self.elastic:
            return x[:0]
        dead = torch.ones(x.shape[self.dim], dtype=torch.bool, device=x.device)
        dead[self.positions(x.device)] = False
        return x.index_select(self.dim, dead.nonzero().flatten())


def embed(
    x: Tensor, size: SizeLike | None, axes: Axes | Space, arch: Space, fill: float = 0.0, dim: int = -1
) -> Tensor:
    """Embed one dimension of a sliced tensor in the full size.

    Args:
        x: ``(..., active, ...)``.
        size: Size of the dimension; None returns ``x`` itself.
        axes: The axes of the model.
        arch: The architecture for which ``x`` was sliced.
        fill: Value at the dead units.
        dim: The dimension.
    """
    return End(size, dim, axes, arch).embed(x, fill)
