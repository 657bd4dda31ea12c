"""Softmax and mean over an elastic dimension, without its dead units."""

import torch
from torch import Tensor

from elasticnas.axes import SizeLike, apply_support, mask

__all__ = ["mean", "softmax"]


def softmax(x: Tensor, size: SizeLike, dim: int = -1) -> Tensor:
    """Compute the softmax over the active units of a dimension; dead units get exactly 0.

    Args:
        x: ``(B, ..., size, ...)``.
        size: Size of the dimension.
        dim: The dimension.
    """
    m = mask(size, x, dim)
    if m is None:
        return torch.softmax(x, dim)
    # mask dead units before exp: their values may overflow, and 0 * inf would be NaN in backward
    x = x.masked_fill(m == 0, float("-inf"))
    top = x.amax(dim, keepdim=True).detach()
    weights = m * torch.exp(x - top.clamp_min(torch.finfo(x.dtype).min))  # the maximum of no units is -inf
    return weights / weights.sum(dim, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)


def mean(x: Tensor, size: SizeLike, dim: int = -1, keepdim: bool = False) -> Tensor:
    """Compute the mean over the active units of a dimension.

    Args:
        x: ``(B, ..., size, ...)``, already multiplied by its mask.
        size: Size of the dimension.
        dim: The dimension to reduce.
        keepdim: Whether to keep it with length 1.
    """
    m = mask(size, x, dim)
    if m is None:
        return x.mean(dim, keepdim=keepdim)
    units = m.sum(dim % x.ndim - x.ndim, keepdim=True)
    total = apply_support(x, size, dim).sum(dim, keepdim=True) / units
    return total if keepdim else total.squeeze(dim)
