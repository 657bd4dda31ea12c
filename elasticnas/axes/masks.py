"""Masks on activations and weights: one set of helpers for hard, soft and per-sample masks."""

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
    """The mask of a size in the current scope, shaped to multiply ``like`` along ``dim``.

    Args:
        size: An int, an Axis, a Product or a Sum.
        like: Activation ``(B, ..., units, ...)``; gives dtype, device and, for per-sample masks, the batch.
        dim: The dimension of ``like`` that holds the units.

    Returns:
        None where everything is sliced; else 0 at dead units. Not to be changed in place.

    Raises:
        AxisError: Per-sample masks for another batch size.
    """
    flat = _flat_mask(size, like)
    return None if flat is None else _shaped(flat, like, dim)


def apply_mask(x: Tensor, size: SizeLike, dim: int = -1) -> Tensor:
    """``x * m``: every activation carries its mask once.

    Dead units are exactly 0 whatever ``x`` holds there (0 * inf would be NaN); under soft masks their weights still
    get a gradient.
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
    """:func:`apply_mask` for what is 0 at dead units already: hard masks leave nothing to do."""
    if not is_masked(size) or _is_hard(size):
        return x
    m = mask(size, x, dim)
    return x if m is None else x * m


def apply_support(x: Tensor, size: SizeLike, dim: int = -1) -> Tensor:
    """0 where the mask is 0, else ``x``: removes what dead units may carry without scaling the others."""
    if not is_masked(size) or _all_alive(size):
        return x
    return torch.where(_support(size, x, dim), x, 0.0)


def without_dead(weight: Tensor, sizes: Sequence[SizeLike]) -> Tensor:
    """A weight of full size with 0 at units that are dead in every sample, one size for each dimension.

    What a dead unit's weight holds, NaN included, then reaches neither an output nor a gradient. Under soft masks only
    where units are known to be dead: a trace does not know.
    """
    support: Tensor | None = None
    for dim, size in enumerate(sizes):
        if not is_masked(size) or not _has_dead(_weights(size)):
            continue
        alive = _flat_support(size, weight)
        alive = (alive.any(0) if alive.ndim > 1 else alive).reshape(-1, *(1,) * (weight.ndim - 1 - dim))
        support = alive if support is None else support & alive
    return weight if support is None else torch.where(support, weight, 0.0)


def _has_dead(weights: Sequence[OptionWeights]) -> bool:
    """Whether units are dead in some architecture of the scope."""
    return not all(each.alive for each in weights) and (all(each.hard for each in weights) or not is_traced())


def is_cut(size: SizeLike) -> bool:
    """Whether :func:`without_dead` leaves exactly the active units: hard masks, the same for all samples."""
    return all(active.hard and active.weights.ndim == 1 for active in _weights(size))


def is_sliced(size: Size) -> bool:
    """Whether one architecture is in scope, so that no size of the same axes is masked."""
    return isinstance(size.scopes.frame(), Sliced)


def is_masked(size: SizeLike) -> bool:
    """Whether any axis of the size is masked in the current scope."""
    if isinstance(size, int):
        return False
    frame = size.scopes.frame()
    if isinstance(frame, Sliced):
        return False
    # asked of the frame's form, not of what it computes: a backward pass that runs again must compute the same
    return frame.caches.masked.get(size, lambda: any(frame.masks(axis.quantity) for axis in size.leaves))


def is_per_sample(size: SizeLike) -> bool:
    """Whether the samples of a batch have masks of their own in the current scope."""
    return any(active.weights.ndim > 1 for active in _weights(size))


def expected(size: SizeLike, power: float, like: Tensor) -> float | Tensor:
    """Expected ``size ** power``: a number where sliced, a tensor ``()`` or ``(B, 1, ..., 1)`` where masked.

    Of a product or sum of axes it is the expectation of the number of units, not that of its parts.
    """
    if isinstance(size, int) or not is_masked(size):
        return _powered(active_size(size), power)
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
    return weights.expect(lambda units: _powered(units, power), like)


def _powered(units: int, power: float) -> float:
    """0 for no units: what it scales is 0."""
    return float(units**power) if units else 0.0


def require_batch(per_sample: Tensor, like: Tensor) -> None:
    """Refuse per-sample masks or shares ``(B, ...)`` for an activation of another batch size.

    What all samples share, an activation with a batch of 1, goes with any number of them.

    Raises:
        AxisError: The sizes differ; the message names both.
    """
    # not `in`: a compiled graph compares its symbolic sizes by identity there
    if like.ndim == 0 or (like.shape[0] != 1 and like.shape[0] != per_sample.shape[0]):
        batch = f"a batch of {like.shape[0]}" if like.ndim else "a tensor without a batch"
        raise AxisError(
            f"this scope has an architecture for each of {per_sample.shape[0]} samples, but {batch} "
            f"arrives, of the shape {tuple(like.shape)}: give axes.masked one architecture per sample"
        )


def soft_mask(size: SizeLike, like: Tensor) -> Tensor | None:
    """``(units,)`` where one mask goes for all samples and no unit is dead: it may then multiply weights as well."""
    if not is_masked(size) or not _all_alive(size):
        return None
    flat = _flat_mask(size, like)
    return flat if flat is not None and flat.ndim == 1 else None


def _all_alive(size: SizeLike) -> bool:
    """Whether no unit is dead, so that there is nothing to remove."""
    return all(active.alive for active in _weights(size))


def _is_hard(size: SizeLike) -> bool:
    """Whether masks, where there are any, are 0 or 1 without a gradient."""
    return all(active.hard for active in _weights(size))


def _weights(size: SizeLike) -> list[OptionWeights]:
    """What the masked axes of the size are at."""
    actives = [axis.at() for axis in size.leaves] if isinstance(size, Size) else []
    return [active for active in actives if isinstance(active, OptionWeights)]


def _shaped(flat: Tensor, like: Tensor, dim: int) -> Tensor:
    """``(units,)`` or ``(B, units)`` to the dimensions of an activation."""
    behind = like.ndim - 1 - dim % like.ndim
    if flat.ndim == 1:
        return flat.reshape(flat.shape[0], *(1,) * behind)
    require_batch(flat, like)
    if dim % like.ndim == 0:
        raise AxisError(
            f"dimension 0 of the shape {tuple(like.shape)} is the batch in a scope with an architecture per sample: an "
            "elastic dimension comes after it"
        )
    return flat.reshape(flat.shape[0], *(1,) * (dim % like.ndim - 1), flat.shape[-1], *(1,) * behind)


def _flat_mask(size: SizeLike, like: Tensor) -> Tensor | None:
    if isinstance(size, int) or not is_masked(size):
        return None
    key = (size, like.dtype, like.device, type(like))
    return size.scopes.frame().caches.masks.get(key, lambda: _made(size, like))


def _support(size: SizeLike, like: Tensor, dim: int) -> Tensor:
    return _shaped(_flat_support(size, like), like, dim)


def _flat_support(size: SizeLike, like: Tensor) -> Tensor:
    assert isinstance(size, Size)

    def positive() -> Tensor:
        flat = _flat_mask(size, like)
        assert flat is not None
        return flat > 0

    return size.scopes.frame().caches.supports.get((size, like.dtype, like.device, type(like)), positive)


def _made(size: Size, like: Tensor) -> Tensor:
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
