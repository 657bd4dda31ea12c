"""Masks on activations: one helper for hard, soft and per-sample masks."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from elasticnas.axes.size import Axis, Product, Size, SizeLike, Sum, Weighted, active_size
from elasticnas.errors import AxisError

__all__ = ["apply_mask", "apply_support", "expected", "is_masked", "mask", "pad_to_full", "require_batch", "soft_mask"]


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
    if flat is None:
        return None
    behind = like.ndim - 1 - dim % like.ndim
    if flat.ndim == 1:
        return flat.reshape(flat.shape[0], *(1,) * behind)
    require_batch(flat, like)
    return flat.reshape(flat.shape[0], *(1,) * (dim % like.ndim - 1), flat.shape[-1], *(1,) * behind)


def apply_mask(x: Tensor, size: SizeLike, dim: int = -1) -> Tensor:
    """``x * m``: every activation carries its mask once."""
    m = mask(size, x, dim)
    return x if m is None else x * m


def apply_support(x: Tensor, size: SizeLike, dim: int = -1) -> Tensor:
    """``x * (m > 0)``: removes what dead units may carry without scaling the others."""
    if not is_masked(size) or _all_alive(size):
        return x
    m = mask(size, x, dim)
    assert m is not None
    return x * (m > 0).to(x.dtype)


def is_masked(size: SizeLike) -> bool:
    """Whether any axis of the size is masked in the current scope."""
    if isinstance(size, int):
        return False
    return size.axes.frame().known.plain(("masked", size), lambda: _any_masked(size))


def _any_masked(size: SizeLike) -> bool:
    return any(isinstance(active, Weighted) for active in _actives(size))


def expected(size: SizeLike, power: float, like: Tensor) -> float | Tensor:
    """Expected ``size ** power``: a number where sliced, a tensor ``()`` or ``(B, 1, ..., 1)`` where masked."""
    active = size.at() if isinstance(size, Axis) else active_size(size)
    if not isinstance(active, Weighted):
        return float(active**power)
    assert isinstance(size, Axis)
    value = size.axes.frame().known.tensor(
        (size, power, like.dtype, like.device),
        lambda: active.expect(lambda units: float(units**power) if units else 0.0, like),
    )
    if value.ndim == 0:
        return value
    require_batch(value, like)
    return value.reshape(value.shape[0], *(1,) * (like.ndim - 1))


def require_batch(per_sample: Tensor, like: Tensor) -> None:
    """Refuse per-sample masks or shares ``(B, ...)`` for an activation of another batch size.

    What all samples share, an activation with a batch of 1, goes with any number of them.

    Raises:
        AxisError: The sizes differ; the message names both.
    """
    if like.shape[0] not in (1, per_sample.shape[0]):
        raise AxisError(
            f"this scope has an architecture for each of {per_sample.shape[0]} samples, but a batch of "
            f"{like.shape[0]} arrives, of the shape {tuple(like.shape)}: give axes.at one architecture per sample"
        )


def pad_to_full(x: Tensor, size: Axis) -> Tensor:
    """Append zeros to a sliced last dimension, up to the full size of its axis."""
    return torch.nn.functional.pad(x, (0, size.size - x.shape[-1]))


def _all_alive(size: SizeLike) -> bool:
    """Whether no unit is dead, so that there is nothing to remove."""
    return all(not isinstance(active, Weighted) or active.alive for active in _actives(size))


def soft_mask(size: SizeLike, like: Tensor) -> Tensor | None:
    """``(units,)`` where one mask goes for all samples and no unit is dead: it may then multiply weights as well."""
    if not is_masked(size) or not _all_alive(size):
        return None
    flat = _flat_mask(size, like)
    return flat if flat is not None and flat.ndim == 1 else None


def _actives(size: SizeLike) -> Iterator[Any]:
    """What every axis of the size is at."""
    if isinstance(size, Axis):
        yield size.at()
    for part in size.factors if isinstance(size, Product) else size.terms if isinstance(size, Sum) else ():
        yield from _actives(part)


def _flat_mask(size: SizeLike, like: Tensor) -> Tensor | None:
    if isinstance(size, int) or not is_masked(size):
        return None
    return size.axes.frame().known.tensor((size, like.dtype, like.device), lambda: _made(size, like))


def _made(size: Size, like: Tensor) -> Tensor:
    if isinstance(size, Axis):
        weighted: Weighted = size.at()
        return weighted.mask(like)
    if isinstance(size, Product):
        flat = like.new_ones(1)
        for factor in size.factors:
            flat = (flat.unsqueeze(-1) * _mask_or_ones(factor, like).unsqueeze(-2)).flatten(-2)
        return flat
    assert isinstance(size, Sum)
    parts = [_mask_or_ones(term, like) for term in size.terms]
    batch = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*batch, part.shape[-1]) for part in parts], -1)


def _mask_or_ones(size: SizeLike, like: Tensor) -> Tensor:
    flat = _flat_mask(size, like)
    return like.new_ones(active_size(size)) if flat is None else flat
