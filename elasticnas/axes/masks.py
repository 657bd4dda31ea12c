"""Masks on activations and weights: one set of functions for hard, soft and per-sample masks."""

from collections.abc import Sequence

import torch
from torch import Tensor

from elasticnas.axes.frames import Sliced
from elasticnas.axes.modes import is_traced
from elasticnas.axes.size import Axis, Product, Size, SizeLike, active_size, quantity_of, terms_of
from elasticnas.axes.weights import OptionWeights
from elasticnas.errors import AxisError

__all__ = [
    "apply_mask",
    "apply_soft_mask",
    "apply_support",
    "expected",
    "is_cut",
    "is_masked",
    "is_per_sample",
    "is_sliced",
    "mask",
    "require_batch",
    "soft_mask",
    "without_dead",
]


def mask(size: SizeLike, like: Tensor, dim: int = -1) -> Tensor | None:
    """Return the mask of a size in the current scope, shaped to multiply ``like`` along ``dim``.

    Args:
        size: An int, an Axis, a Product or a Sum.
        like: Activation ``(B, ..., units, ...)``; determines dtype, device and, for per-sample masks, the batch.
        dim: The dimension of ``like`` that holds the units.

    Returns:
        A tensor that is 0 at dead units, or None if no axis of the size is masked. Do not change it in place.

    Raises:
        AxisError: The masks are per sample, and ``like`` has another batch size.
    """
    flat = _flat_mask(size, like)
    return None if flat is None else _broadcast_to(flat, like, dim)


def apply_mask(x: Tensor, size: SizeLike, dim: int = -1) -> Tensor:
    """Return ``x * m``, m the mask of the size: every activation is multiplied by its mask exactly once.

    Dead units are exactly 0, also if ``x`` is inf or NaN there. Under soft masks the mask of a dead unit still gets a
    gradient.
    """
    m = mask(size, x, dim)
    if m is None:
        return x
    if _all_alive(size):
        return x * m
    support = _support(size, x, dim)
    if _is_hard(size):
        return torch.where(support, x, 0.0)
    return torch.where(support, x, torch.nan_to_num(x.detach(), posinf=0.0, neginf=0.0)) * m


def apply_soft_mask(x: Tensor, size: SizeLike, dim: int = -1) -> Tensor:
    """Do the same as :func:`apply_mask` for an ``x`` that is already 0 at dead units: hard masks change nothing."""
    if not is_masked(size) or _is_hard(size):
        return x
    m = mask(size, x, dim)
    return x if m is None else x * m


def apply_support(x: Tensor, size: SizeLike, dim: int = -1) -> Tensor:
    """Return ``x`` with 0 where the mask is 0; the units of its support are not scaled."""
    if not is_masked(size) or _all_alive(size):
        return x
    return torch.where(_support(size, x, dim), x, 0.0)


def without_dead(weight: Tensor, sizes: Sequence[SizeLike]) -> Tensor:
    """Return a full-size weight with 0 at units that are dead in every sample.

    The weights of a dead unit, NaN included, then affect neither an output nor a gradient. Under soft masks, units
    count as dead only if the values of the masks can be read, which is impossible in a trace.

    Args:
        weight: Tensor of full size.
        sizes: The size of each dimension.
    """
    support: Tensor | None = None
    for dim, size in enumerate(sizes):
        if not is_masked(size) or not _has_dead_units(_masked_weights(size)):
            continue
        alive = _flat_support(size, weight)
        alive = (alive.any(0) if alive.ndim > 1 else alive).reshape(-1, *(1,) * (weight.ndim - 1 - dim))
        support = alive if support is None else support & alive
    return weight if support is None else torch.where(support, weight, 0.0)


def _has_dead_units(weights: Sequence[OptionWeights]) -> bool:
    """Return whether some architecture of the scope has dead units."""
    return not all(each.alive for each in weights) and (all(each.hard for each in weights) or not is_traced())


def is_cut(size: SizeLike) -> bool:
    """Return whether :func:`without_dead` is the whole mask: masks are hard and the same for all samples."""
    return all(active.hard and active.weights.ndim == 1 for active in _masked_weights(size))


def is_sliced(size: Size) -> bool:
    """Return whether the current scope is a slice scope, in which no size of the same axes is masked."""
    return isinstance(size.scopes.frame(), Sliced)


def is_masked(size: SizeLike) -> bool:
    """Return whether any axis of the size is masked in the current scope."""
    if isinstance(size, int):
        return False
    frame = size.scopes.frame()
    if isinstance(frame, Sliced):
        return False
    # decided by the kind of frame, not by values: recomputation in a backward pass must take the same path
    return frame.caches.masked.get(size, lambda: any(frame.masks(axis.quantity) for axis in size.leaves))


def is_per_sample(size: SizeLike) -> bool:
    """Return whether each sample of a batch has its own mask in the current scope."""
    return any(active.weights.ndim > 1 for active in _masked_weights(size))


def expected(size: SizeLike, power: float, like: Tensor) -> float | Tensor:
    """Return the expected ``size ** power``: a number if sliced, a tensor ``()`` or ``(B, 1, ..., 1)`` if masked.

    For a product or sum of axes the expectation is over the number of units, not over each axis separately.
    """
    if isinstance(size, int) or not is_masked(size):
        return _power(active_size(size), power)
    value = size.scopes.frame().caches.powers.get(
        (size, power, like.dtype, like.device, type(like)), lambda: _expectation(size, power, like)
    )
    if value.ndim == 0:
        return value
    require_batch(value, like)
    return value.reshape(value.shape[0], *(1,) * (like.ndim - 1))


def _expectation(size: Size, power: float, like: Tensor) -> Tensor:
    weights = size.scopes.frame().value(quantity_of(size))
    assert isinstance(weights, OptionWeights)
    return weights.expect(lambda units: _power(units, power), like)


def _power(units: int, power: float) -> float:
    """Return ``units ** power``, or 0 for no units, where a negative power would be infinite."""
    return float(units**power) if units else 0.0


def require_batch(per_sample: Tensor, like: Tensor) -> None:
    """Check that per-sample masks or weights ``(B, ...)`` fit the batch size of an activation.

    An activation with a batch of 1 is shared by all samples and fits any batch size.

    Raises:
        AxisError: The batch sizes differ; the message gives both.
    """
    # not `in`: a compiled graph compares its symbolic sizes by identity there
    if like.ndim == 0 or (like.shape[0] != 1 and like.shape[0] != per_sample.shape[0]):
        batch = f"a batch of {like.shape[0]}" if like.ndim else "a tensor without a batch"
        raise AxisError(
            f"this scope has an architecture for each of {per_sample.shape[0]} samples, but got {batch}, "
            f"with the shape {tuple(like.shape)}: give axes.masked one architecture per sample"
        )


def soft_mask(size: SizeLike, like: Tensor) -> Tensor | None:
    """Return the mask ``(units,)`` if all samples share it and no unit is dead, else None.

    Such a mask may multiply the weights instead of the activation.
    """
    if not is_masked(size) or not _all_alive(size):
        return None
    flat = _flat_mask(size, like)
    return flat if flat is not None and flat.ndim == 1 else None


def _all_alive(size: SizeLike) -> bool:
    """Return whether every unit is known to have a mask above 0."""
    return all(active.alive for active in _masked_weights(size))


def _is_hard(size: SizeLike) -> bool:
    """Return whether all masks are 0 or 1 and have no gradient."""
    return all(active.hard for active in _masked_weights(size))


def _masked_weights(size: SizeLike) -> list[OptionWeights]:
    """Return the option weights of the masked axes of the size."""
    actives = [axis.at() for axis in size.leaves] if isinstance(size, Size) else []
    return [active for active in actives if isinstance(active, OptionWeights)]


def _broadcast_to(flat: Tensor, like: Tensor, dim: int) -> Tensor:
    """Reshape ``(units,)`` or ``(B, units)`` so that it broadcasts against an activation."""
    trailing = like.ndim - 1 - dim % like.ndim
    if flat.ndim == 1:
        return flat.reshape(flat.shape[0], *(1,) * trailing)
    require_batch(flat, like)
    if dim % like.ndim == 0:
        raise AxisError(
            f"dimension 0 of the shape {tuple(like.shape)} is the batch in a scope with an architecture per sample: an "
            "elastic dimension must come after it"
        )
    return flat.reshape(flat.shape[0], *(1,) * (dim % like.ndim - 1), flat.shape[-1], *(1,) * trailing)


def _flat_mask(size: SizeLike, like: Tensor) -> Tensor | None:
    if isinstance(size, int) or not is_masked(size):
        return None
    key = (size, like.dtype, like.device, type(like))
    return size.scopes.frame().caches.masks.get(key, lambda: _compute_mask(size, like))


def _support(size: SizeLike, like: Tensor, dim: int) -> Tensor:
    return _broadcast_to(_flat_support(size, like), like, dim)


def _flat_support(size: SizeLike, like: Tensor) -> Tensor:
    assert isinstance(size, Size)

    def positive() -> Tensor:
        flat = _flat_mask(size, like)
        assert flat is not None
        return flat > 0

    return size.scopes.frame().caches.supports.get((size, like.dtype, like.device, type(like)), positive)


def _compute_mask(size: Size, like: Tensor) -> Tensor:
    if isinstance(size, Axis):
        weights: OptionWeights = size.at()
        return weights.mask(like)
    if isinstance(size, Product):
        flat = like.new_ones(1)
        for factor in size.factors:
            flat = (flat.unsqueeze(-1) * _mask_or_ones(factor, like).unsqueeze(-2)).flatten(-2)
        return flat
    parts = [_mask_or_ones(term, like) for term in terms_of(size)]
    batch = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*batch, part.shape[-1]) for part in parts], -1)


def _mask_or_ones(size: SizeLike, like: Tensor) -> Tensor:
    flat = _flat_mask(size, like)
    return like.new_ones(active_size(size)) if flat is None else flat
