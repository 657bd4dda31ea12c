"""select: narrow a tensor to what is active."""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor

from elasticnas.axes.size import Product, SizeLike, Sum, active_size, full_size
from elasticnas.errors import AxisError

__all__ = ["select", "take"]


def select(tensor: Tensor, sizes: Sequence[SizeLike]) -> Tensor:
    """Narrow each dimension to the units active in the current scope.

    Slicing, extraction, reordering and inheritance are all this function. Views wherever a dimension is one axis;
    a composite size takes the units of every factor, so that pruning a head takes whole heads and pruning
    head_dim takes the tail of each. Masked axes stay full.

    Args:
        tensor: Full-size tensor with one dimension per size.
        sizes: What each dimension holds: an int, an Axis, a Product or a Sum.

    Returns:
        The active part, with the sizes ``active_size`` gives.

    Raises:
        AxisError: It is narrowed, and has fewer units than are active.
    """
    sizes = tuple(sizes)
    owners = {size.scopes for size in sizes if not isinstance(size, int)}
    if len(owners) != 1:
        return _cut(sizes)(tensor)  # it follows from no scope, or from more than one
    return owners.pop().frame().caches.narrowings.get(sizes, lambda: _cut(sizes))(tensor)


def _cut(sizes: tuple[SizeLike, ...]) -> Callable[[Tensor], Tensor]:
    """What narrows a tensor in this scope: composite dimensions taken apart, one slice each, and joined again."""
    if any(isinstance(size, Sum) for size in sizes):
        return partial(_joined, sizes)
    apart: list[int] = []
    joined: list[int] = []
    index: list[slice] = []
    for size in sizes:
        factors = size.factors if isinstance(size, Product) else (size,)
        pairs = [(full_size(factor), active_size(factor)) for factor in factors]
        if all(full == active for full, active in pairs):
            pairs = [(full_size(size), full_size(size))]
        apart += [full for full, _ in pairs]
        joined.append(prod([active for _, active in pairs]))
        index += [slice(None) if full == active else slice(active) for full, active in pairs]
    if all(part == slice(None) for part in index):
        return _whole
    if len(apart) == len(sizes):
        return partial(_sliced, tuple(index), tuple(joined))
    return partial(_narrowed, apart, tuple(index), joined)


def _whole(tensor: Tensor) -> Tensor:
    return tensor


def _sliced(index: tuple[slice, ...], active: tuple[int, ...], tensor: Tensor) -> Tensor:
    narrow = tensor[index]
    if narrow.shape != active:  # a slice of too few units is no error of its own
        raise AxisError(f"a tensor of the shape {tuple(tensor.shape)} is not of full size: {active} are active of it")
    return narrow


def _narrowed(apart: list[int], index: tuple[slice, ...], joined: list[int], tensor: Tensor) -> Tensor:
    return tensor.view(apart)[index].reshape(joined)


def _joined(sizes: tuple[SizeLike, ...], tensor: Tensor) -> Tensor:
    """Dimension by dimension, the terms of a sum one after the other."""
    for dim, size in enumerate(sizes):
        before, after = tensor.shape[:dim], tensor.shape[dim + 1 :]
        terms = size.terms if isinstance(size, Sum) else (size,)
        parts = tensor.split([full_size(term) for term in terms], dim)
        selected = [select(part, (*before, term, *after)) for part, term in zip(parts, terms, strict=True)]
        tensor = torch.cat(selected, dim) if len(selected) > 1 else selected[0]
    return tensor


def take(tensor: Tensor, dim: int, full: Sequence[int], active: Sequence[int]) -> Tensor:
    """Narrow one dimension, a composite of factors, to the first units of every factor.

    Args:
        tensor: Any tensor.
        dim: Its dimension, of ``prod(full)`` units.
        full: Sizes of the factors, outermost first.
        active: How many units of each are kept.

    Returns:
        ``prod(active)`` units; a view where there is one factor.
    """
    if len(full) == 1:
        return tensor.narrow(dim, 0, active[0])
    tensor = tensor.unflatten(dim, tuple(full))
    for offset, units in enumerate(active):
        if units != full[offset]:
            tensor = tensor.narrow(dim + offset, 0, units)
    return tensor.flatten(dim, dim + len(active) - 1)
