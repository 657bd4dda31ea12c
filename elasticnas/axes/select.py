"""select: narrow a tensor to what is active."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from elasticnas.axes.size import Product, Size, SizeLike, Sum, active_size, full_size

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
    """
    composite = []
    for dim, size in enumerate(sizes):
        if isinstance(size, int):
            continue
        cuts = size.axes.frame().cuts
        if size not in cuts:
            cuts[size] = _cut(size)
        cut = cuts[size]
        if isinstance(cut, int):
            tensor = tensor.narrow(dim, 0, cut)
        elif cut is not None:
            composite.append((dim, cut))
    # those that copy come last: they then copy less
    for dim, cut in composite:
        tensor = cut(tensor, dim)
    return tensor


def _cut(size: Size) -> "int | Callable[[Tensor, int], Tensor] | None":
    """How a size is narrowed: to a number of units, by a function of tensor and dimension, or not at all."""
    if isinstance(size, Sum):
        return partial(_terms, size)
    active = active_size(size)
    if active == full_size(size):
        return None
    if isinstance(size, Product):
        full = [full_size(factor) for factor in size.factors]
        return partial(take, full=full, active=[active_size(factor) for factor in size.factors])
    return int(active)


def _terms(size: Sum, tensor: Tensor, dim: int) -> Tensor:
    parts = tensor.split([full_size(term) for term in size.terms], dim)
    before = [1] * (dim % tensor.ndim)
    return torch.cat([select(part, [*before, term]) for part, term in zip(parts, size.terms, strict=True)], dim)


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
