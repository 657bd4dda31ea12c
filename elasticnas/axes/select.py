"""select: narrow a tensor to what is active."""

from collections.abc import Sequence

import torch
from torch import Tensor

from elasticnas.axes.size import Product, SizeLike, Sum, active_size, full_size

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
    for dim, size in enumerate(sizes):
        tensor = _narrow(tensor, dim, size)
    return tensor


def _narrow(tensor: Tensor, dim: int, size: SizeLike) -> Tensor:
    active = active_size(size)
    if active == full_size(size) and not isinstance(size, Sum):
        return tensor
    if isinstance(size, Product):
        tensor = tensor.unflatten(dim, [full_size(factor) for factor in size.factors])
        for offset, factor in enumerate(size.factors):
            tensor = _narrow(tensor, dim + offset, factor)
        return tensor.flatten(dim, dim + len(size.factors) - 1)
    if isinstance(size, Sum):
        parts = tensor.split([full_size(term) for term in size.terms], dim)
        return torch.cat([_narrow(part, dim, term) for part, term in zip(parts, size.terms, strict=True)], dim)
    return tensor.narrow(dim, 0, active)


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
        tensor = tensor.narrow(dim + offset, 0, units)
    return tensor.flatten(dim, dim + len(active) - 1)
