"""shares: which of an elastic number of units each member of a fixed number uses, as query heads share key heads."""

import torch
from torch import Tensor

from elasticnas.axes.masks import is_masked, require_batch
from elasticnas.axes.size import Axis, SizeLike, full_size
from elasticnas.axes.weights import OptionWeights

__all__ = ["shares"]


def shares(size: SizeLike, members: int, like: Tensor) -> Tensor | None:
    """Return which unit of a masked size each member uses, where consecutive members share a unit.

    Of ``units`` units, member m uses unit ``m // (members / units)``. Under soft masks, the tables of the options are
    added with the options' weights.

    Args:
        size: An int or an Axis whose options divide ``members``.
        members: Number of members.
        like: Activation ``(B, ...)``; determines dtype, device and, for per-sample masks, the batch.

    Returns:
        A table ``(members, units)``, or ``(B, members, units)`` for per-sample masks; None if the size is not masked.
        Do not change it in place.

    Raises:
        AxisError: The masks are per sample, and ``like`` has another batch size.
    """
    if not isinstance(size, Axis) or not is_masked(size):
        return None
    key = (size, members, like.dtype, like.device, type(like))
    table = size.scopes.frame().caches.shares.get(key, lambda: _compute_shares(size, members, like))
    if table.ndim > 2:
        require_batch(table, like)
    return table


def _compute_shares(size: Axis, members: int, like: Tensor) -> Tensor:
    active: OptionWeights = size.at()
    tables = torch.stack([_table(units, members, full_size(size)) for units in size.options]).to(like)
    return (active.weights.to(like)[..., None, None] * tables).sum(-3)


def _table(units: int, members: int, full: int) -> Tensor:
    """Return the 0/1 table ``(members, full)`` of one option, on the CPU."""
    used = torch.arange(members, device="cpu") // (members // units)
    return used[:, None] == torch.arange(full, device="cpu")
