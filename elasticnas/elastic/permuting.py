"""Permuting: whether the order of units is free, as it must be where dimensions hold the same units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from elasticnas.elastic.behaviour import Behaviour, Dim
from elasticnas.elastic.parts import Grid, Part, Prefix

__all__ = ["Units", "is_order_free"]

_TOLERANCE = 1e-7  # relative to the largest output


@dataclass(frozen=True)
class Units:
    """The units that a dimension holds, or copies of them, as of positions that are flattened.

    Attributes:
        part: Which units of those that it has.
        outer: Number of copies, one after the other.
        inner: Number of copies of each unit, next to each other.
    """

    part: Part
    outer: int = 1
    inner: int = 1

    @property
    def whole(self) -> "Units":
        """The same units in a model that has no others."""
        if isinstance(self.part, Grid):
            kept: Part = Grid(tuple(Prefix(factor.active, factor.active) for factor in self.part.factors))
        else:
            kept = Prefix(self.part.active, self.part.active)
        return Units(kept, self.outer, self.inner)

    def as_part(self) -> Part:
        """Return the units of the dimension that a smaller model has."""
        if self.outer == self.inner == 1:
            return self.part
        factors = (Prefix(self.outer, self.outer), self.part, Prefix(self.inner, self.inner))
        return Grid(tuple(factor for factor in factors if factor.full > 1))

    def permuted(self, order: Tensor) -> Tensor:
        """Return the index that permutes the units."""
        units, index = self.part.units(), torch.arange(self.part.full)
        index[units] = units[order]
        copies = (torch.arange(self.outer)[:, None] * self.part.full + index).flatten()
        return (copies[:, None] * self.inner + torch.arange(self.inner)).flatten()


def is_order_free(behaviour: Behaviour, members: Mapping[Dim, Units], unit: Part, inputs: Sequence[int]) -> bool:
    """Return whether the output stays the same if the units of all members are permuted together.

    Args:
        behaviour: The model.
        members: Dimensions that hold the same units.
        unit: These units, as dimensions of the inputs and outputs may hold them too.
        inputs: Numbers of the input tensors whose last dimension holds the units.
    """
    order = torch.randperm(unit.active, generator=torch.Generator().manual_seed(0))
    if torch.equal(order, torch.arange(unit.active)):
        order = order.roll(1)
    changed: dict[str, Tensor] = {}
    for (name, dim), units in members.items():
        tensor = changed.get(name, behaviour.tensors[name])
        changed[name] = tensor.index_select(dim, units.permuted(order))
    flat = Units(unit).permuted(order)
    with torch.no_grad():
        outputs = behaviour.outputs(changed, _permuted(behaviour.example, inputs, flat))
    return all(_same(a, b, flat) for a, b in zip(behaviour.baseline, outputs, strict=True))


def _permuted(example: Any, inputs: Sequence[int], index: Tensor) -> Any:
    leaves, tree = tree_flatten(example)
    found = [leaf.index_select(-1, index) if number in inputs else leaf for number, leaf in enumerate(leaves)]
    return tree_unflatten(found, tree)


def _same(before: Tensor, after: Tensor, index: Tensor) -> bool:
    """Compare two outputs, also after the permutation of the dimensions of as many units."""
    if before.shape != after.shape:
        return False
    tolerance = _TOLERANCE * max(1.0, float(before.abs().max())) if before.numel() else 0.0
    options = [before]
    for dim in range(before.ndim):
        if before.shape[dim] == len(index):
            options += [option.index_select(dim, index) for option in list(options)]
    return any(bool(((option - after).abs() <= tolerance).all()) for option in options)
