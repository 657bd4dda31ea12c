"""Cosine similarities with the rows of a table, over the active units only, divided by a temperature."""

import torch
import torch.nn.functional as F
from torch import Tensor

from elasticnas.axes import SizeLike, mask
from elasticnas.errors import ConfigError

__all__ = ["cosine_scores", "require_temperature", "unit"]

_EPS = 1e-6  # smallest norm


def unit(x: Tensor, m: Tensor | None = None) -> Tensor:
    """Return ``x / sqrt(sum(m x^2))`` over the last dimension, computed in float32 or wider; 0 for zeros.

    Args:
        x: ``(..., hidden)``.
        m: Mask that ``x`` is not multiplied by yet, ``(..., hidden)``; with a hard mask the norm is that of the active
            part, with a soft one the root of the expected square.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    squares = wide.square() if m is None else wide.square() * m
    return (wide / squares.sum(-1, keepdim=True).clamp_min(_EPS**2).sqrt()).to(x)


def cosine_scores(x: Tensor, rows: Tensor, hidden: SizeLike, temperature: float) -> Tensor:
    """Return ``cos(x, row) / temperature`` of every row, ``(..., hidden) -> (..., count)``.

    Args:
        x: ``(..., hidden)``, 0 at dead units.
        rows: ``(count, hidden)``; what dead units hold does not count.
        hidden: Size of the last dimension of both.
        temperature: Above 0, no unit.

    Source: HSTU, arXiv:2402.17152, whose public code normalises both and divides by 0.05.
    """
    m = mask(hidden, x)
    if m is None or m.ndim == 1:
        return F.linear(unit(x) / temperature, unit(rows, m))
    # each sample has its own active part of a row, hence its own norm
    squares = F.linear(m.to(rows), rows.square()).clamp_min(_EPS**2)
    return F.linear(unit(x) / temperature, rows) * squares.rsqrt()


def require_temperature(temperature: float) -> None:
    """Check a temperature.

    Raises:
        ConfigError: It is not above 0.
    """
    if not temperature > 0:
        raise ConfigError(f"cosine_temperature={temperature}: give a number above 0, or None for dot products")
