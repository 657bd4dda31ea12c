"""select: narrow a tensor to its active part."""

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

    Slicing and extraction both use this function. A dimension with one axis keeps its first units; a product keeps
    the first units of every factor, so that fewer heads drop whole heads and a smaller head_dim drops the tail of each
    head. Masked axes keep their full size. The result is a view unless a narrowed dimension is composite.

    Args:
        tensor: Full-size tensor with one dimension per size.
        sizes: Size of each dimension: an int, an Axis, a Product or a Sum.

    Returns:
        The active part; its shape is the ``active_size`` of each size.

    Raises:
        AxisError: The tensor has fewer units than are active.
    """
    sizes = tuple(sizes)
    owners = {size.scopes for size in sizes if not isinstance(size, int)}
    if len(owners) != 1:
        return _narrowing(sizes)(tensor)  # sizes of no Axes object or of several: no frame to cache it in
    return owners.pop().frame().caches.narrowings.get(sizes, lambda: _narrowing(sizes))(tensor)


def _narrowing(sizes: tuple[SizeLike, ...]) -> Callable[[Tensor], Tensor]:
    """Return a function that narrows a tensor in the current scope.

    Composite dimensions are split into their factors, each factor is sliced, and they are merged again.
    """
    if any(isinstance(size, Sum) for size in sizes):
        return partial(_select_sums, sizes)
    factors_shape: list[int] = []
    shape: list[int] = []
    index: list[slice] = []
    for size in sizes:
        factors = size.factors if isinstance(size, Product) else (size,)
        pairs = [(full_size(factor), active_size(factor)) for factor in factors]
        if all(full == active for full, active in pairs):
            pairs = [(full_size(size), full_size(size))]
        factors_shape += [full for full, _ in pairs]
        shape.append(prod([active for _, active in pairs]))
        index += [slice(None) if full == active else slice(active) for full, active in pairs]
    if all(part == slice(None) for part in index):
        return _identity
    if len(factors_shape) == len(sizes):
        return partial(_select_slices, tuple(index), tuple(shape))
    return partial(_select_products, factors_shape, tuple(index), shape)


def _identity(tensor: Tensor) -> Tensor:
    return tensor


def _select_slices(index: tuple[slice, ...], active: tuple[int, ...], tensor: Tensor) -> Tensor:
    narrow = tensor[index]
    if narrow.shape != active:  # slicing beyond the end is not an error in torch
        raise AxisError(f"a tensor of the shape {tuple(tensor.shape)} is not full-size: its active part is {active}")
    return narrow


def _select_products(factors_shape: list[int], index: tuple[slice, ...], shape: list[int], tensor: Tensor) -> Tensor:
    return tensor.view(factors_shape)[index].reshape(shape)


def _select_sums(sizes: tuple[SizeLike, ...], tensor: Tensor) -> Tensor:
    """Narrow one dimension after the other, and every term of a sum by itself."""
    for dim, size in enumerate(sizes):
        before, after = tensor.shape[:dim], tensor.shape[dim + 1 :]
        terms = size.terms if isinstance(size, Sum) else (size,)
        parts = tensor.split([full_size(term) for term in terms], dim)
        selected = [select(part, (*before, term, *after)) for part, term in zip(parts, terms, strict=True)]
        tensor = torch.cat(selected, dim) if len(selected) > 1 else selected[0]
    return tensor


def take(tensor: Tensor, dim: int, full: Sequence[int], active: Sequence[int]) -> Tensor:
    """Narrow one dimension, a product of factors, to the first units of every factor.

    Args:
        tensor: Any tensor.
        dim: The dimension, of ``prod(full)`` units.
        full: Sizes of the factors, outermost first.
        active: Number of units of each factor to keep.

    Returns:
        The tensor with ``prod(active)`` units in this dimension; a view if there is only one factor.
    """
    if len(full) == 1:
        return tensor.narrow(dim, 0, active[0])
    tensor = tensor.unflatten(dim, tuple(full))
    for offset, units in enumerate(active):
        if units != full[offset]:
            tensor = tensor.narrow(dim + offset, 0, units)
    return tensor.flatten(dim, dim + len(active) - 1)
