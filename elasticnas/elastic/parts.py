"""Parts: which units of a dimension a sub-network has."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

__all__ = ["Grid", "Join", "Part", "Prefix", "cut", "has_join"]


class Part(ABC):
    """A rule that selects ``active`` of the ``full`` units of a dimension, always in ascending order."""

    full: int
    active: int

    @abstractmethod
    def take(self, tensor: Tensor, dim: int) -> Tensor:
        """Return the tensor with the selected units only; a view where possible."""

    @abstractmethod
    def units(self) -> Tensor:
        """Return the selected units, ``(active,)`` int64."""

    @property
    def is_whole(self) -> bool:
        """Whether every unit is selected."""
        return self.full == self.active

    @property
    def is_view(self) -> bool:
        """Whether :meth:`take` returns a view."""
        return False


@dataclass(frozen=True)
class Prefix(Part):
    """The first units of one factor.

    Attributes:
        full: Number of units.
        active: How many of them are selected.
    """

    full: int
    active: int

    @property
    def is_view(self) -> bool:
        """Whether :meth:`take` returns a view."""
        return True

    def take(self, tensor: Tensor, dim: int) -> Tensor:
        """Return the tensor with the first units."""
        return tensor if self.is_whole else tensor.narrow(dim, 0, self.active)

    def units(self) -> Tensor:
        """Return the selected units."""
        return torch.arange(self.active, device="cpu")


@dataclass(frozen=True)
class Grid(Part):
    """A product: the selected units of every factor, the outermost factor first.

    Attributes:
        factors: The factors.
    """

    factors: tuple[Part, ...]

    @cached_property
    def full(self) -> int:  # type: ignore[override]
        """Number of units."""
        return prod(factor.full for factor in self.factors)

    @cached_property
    def active(self) -> int:  # type: ignore[override]
        """How many of them are selected."""
        return prod(factor.active for factor in self.factors)

    def take(self, tensor: Tensor, dim: int) -> Tensor:
        """Return the tensor with the selected units."""
        if self.is_whole:
            return tensor
        tensor = tensor.unflatten(dim, tuple(factor.full for factor in self.factors))
        for offset, factor in enumerate(self.factors):
            tensor = factor.take(tensor, dim + offset)
        return tensor.flatten(dim, dim + len(self.factors) - 1)

    def units(self) -> Tensor:
        """Return the selected units."""
        found = torch.zeros(1, dtype=torch.int64, device="cpu")
        for factor in self.factors:
            found = (found[:, None] * factor.full + factor.units()).flatten()
        return found


@dataclass(frozen=True)
class Join(Part):
    """A concatenation: the selected units of every term.

    Attributes:
        terms: The terms, in their order.
    """

    terms: tuple[Part, ...]

    @cached_property
    def full(self) -> int:  # type: ignore[override]
        """Number of units."""
        return sum(term.full for term in self.terms)

    @cached_property
    def active(self) -> int:  # type: ignore[override]
        """How many of them are selected."""
        return sum(term.active for term in self.terms)

    def take(self, tensor: Tensor, dim: int) -> Tensor:
        """Return the tensor with the selected units."""
        if self.is_whole:
            return tensor
        pieces = tensor.split([term.full for term in self.terms], dim)
        return torch.cat([term.take(piece, dim) for term, piece in zip(self.terms, pieces, strict=True)], dim)

    def units(self) -> Tensor:
        """Return the selected units."""
        starts = [sum(term.full for term in self.terms[:position]) for position in range(len(self.terms))]
        return torch.cat([start + term.units() for start, term in zip(starts, self.terms, strict=True)])


def cut(tensor: Tensor, parts: Sequence[tuple[int, Part]]) -> Tensor:
    """Return the tensor with the selected units of each given dimension."""
    for dim, part in parts:
        tensor = part.take(tensor, dim)
    return tensor


def has_join(part: Part) -> bool:
    """Return whether a part contains a concatenation."""
    return isinstance(part, Join) or (isinstance(part, Grid) and any(map(has_join, part.factors)))
