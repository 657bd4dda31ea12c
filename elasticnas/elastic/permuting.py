"""Permuting: whether the order of units is free, as it must be where dimensions hold the same units."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from elasticnas.elastic.behaviour import Behaviour, Dim
from elasticnas.elastic.parts import Grid, Part

__all__ = ["is_order_free"]

_TOLERANCE = 1e-7  # relative to the largest output


def is_order_free(
    behaviour: Behaviour, members: Mapping[Dim, Part], sizes: tuple[int, int], inputs: Sequence[int]
) -> bool:
    """Return whether the output stays the same if the units of all members are permuted together.

    Args:
        behaviour: The model.
        members: Dimensions that hold the same units, and which of their units these are.
        sizes: Size of such a dimension, and of those of the inputs and outputs that may hold the units too.
        inputs: Numbers of the input tensors whose last dimension holds the units.
    """
    full, size = sizes
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    changed: dict[str, Tensor] = {}
    for (name, dim), part in members.items():
        tensor = changed.get(name, behaviour.tensors[name])
        changed[name] = tensor.index_select(dim, _index(part, order))
    flat = _index(next(part for part in members.values() if part.active == size), order)
    with torch.no_grad():
        outputs = behaviour.outputs(changed, _permuted(behaviour.example, inputs, flat))
    return all(_same(a, b, full, flat) for a, b in zip(behaviour.baseline, outputs, strict=True))


def _index(part: Part, order: Tensor) -> Tensor:
    # several copies of the units, as of positions that are flattened
    if isinstance(part, Grid) and part.active != len(order):
        inner = _index(part.factors[-1], order)
        return (torch.arange(part.full // len(inner))[:, None] * len(inner) + inner).flatten()
    units, index = part.units(), torch.arange(part.full)
    index[units] = units[order]
    return index


def _permuted(example: Any, inputs: Sequence[int], index: Tensor) -> Any:
    leaves, tree = tree_flatten(example)
    found = [leaf.index_select(-1, index) if number in inputs else leaf for number, leaf in enumerate(leaves)]
    return tree_unflatten(found, tree)


def _same(before: Tensor, after: Tensor, size: int, index: Tensor) -> bool:
    """Compare two outputs, also after the permutation of the dimensions of the size."""
    if before.shape != after.shape:
        return False
    tolerance = _TOLERANCE * max(1.0, float(before.abs().max())) if before.numel() else 0.0
    options = [before]
    for dim in range(before.ndim):
        if before.shape[dim] == size:
            options += [option.index_select(dim, index) for option in list(options)]
    return any(bool(((option - after).abs() <= tolerance).all()) for option in options)
