"""select: narrow a tensor to its active part."""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor

from elasticnas.axes.size import Product, SizeLike, Sum, active_size, full_size
from elasticnas.errors import AxisError

__all__ = ["factored_view", "narrowing", "select", "take"]


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
        return narrowing(sizes)(tensor)  # sizes of no Axes object or of several: no frame to cache it in
    return owners.pop().frame().caches.narrowings.get(sizes, lambda: narrowing(sizes))(tensor)


def narrowing(sizes: Sequence[SizeLike]) -> Callable[[Tensor], Tensor]:
    """Return a function that narrows tensors as :func:`select` does in the current scope, in any scope.

    Composite dimensions are split into their factors, each factor is sliced, and they are merged again.

    Args:
        sizes: Size of each dimension.
    """
    if any(isinstance(size, Sum) for size in sizes):
        return partial(_select_sums, _terms_of_dimensions(sizes))
    factors_shape, index, shape = _cuts(sizes)
    if all(part == slice(None) for part in index):
        return _identity
    if len(factors_shape) == len(sizes):
        return partial(_select_slices, index, tuple(shape))
    return partial(_select_products, factors_shape, index, shape)


def factored_view(sizes: Sequence[SizeLike]) -> Callable[[Tensor], Tensor] | None:
    """Return a function that narrows tensors as in the current scope and always returns a view; None for sums.

    Factors of composite dimensions stay separate dimensions: a ``reshape`` of the result is that of :func:`select`.

    Args:
        sizes: Size of each dimension.
    """
    if any(isinstance(size, Sum) for size in sizes):
        return None
    factors_shape, index, _ = _cuts(sizes)
    return partial(_view_products, factors_shape, index)


def _cuts(sizes: Sequence[SizeLike]) -> tuple[list[int], tuple[slice, ...], list[int]]:
    """Return the full sizes of all factors, the part of each that is active, and the active shape."""
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
    return factors_shape, tuple(index), shape


def _identity(tensor: Tensor) -> Tensor:
    return tensor


def _select_slices(index: tuple[slice, ...], active: tuple[int, ...], tensor: Tensor) -> Tensor:
    narrow = tensor[index]
    if narrow.shape != active:  # slicing beyond the end is not an error in torch
        raise AxisError(f"a tensor of the shape {tuple(tensor.shape)} is not full-size: its active part is {active}")
    return narrow


def _select_products(factors_shape: list[int], index: tuple[slice, ...], shape: list[int], tensor: Tensor) -> Tensor:
    return _view_products(factors_shape, index, tensor).reshape(shape)


def _view_products(factors_shape: list[int], index: tuple[slice, ...], tensor: Tensor) -> Tensor:
    return tensor.view(factors_shape)[index]


_Term = tuple[int, Callable[[Tensor], Tensor]]


def _terms_of_dimensions(sizes: Sequence[SizeLike]) -> list[list[_Term]]:
    """Return, for each dimension, the full size of every term of its sum and the function that narrows the term."""
    dimensions: list[list[_Term]] = []
    before: list[int] = []
    after = [full_size(size) for size in sizes]
    for size in sizes:
        del after[0]
        terms = size.terms if isinstance(size, Sum) else (size,)
        dimensions.append([(full_size(term), narrowing((*before, term, *after))) for term in terms])
        before.append(active_size(size))
    return dimensions


def _select_sums(dimensions: list[list[_Term]], tensor: Tensor) -> Tensor:
    """Narrow one dimension after the other, and every term of a sum by itself."""
    for dim, terms in enumerate(dimensions):
        parts = tensor.split([full for full, _ in terms], dim)
        selected = [narrow(part) for part, (_, narrow) in zip(parts, terms, strict=True)]
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
