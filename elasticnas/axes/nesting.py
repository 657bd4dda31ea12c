"""Convert the last dimension of an activation between a scope and a narrower scope nested in it."""

from collections.abc import Callable
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from elasticnas.axes.size import SizeLike, active_size, factors_of, terms_of

__all__ = ["Layout", "layout_of", "narrow_last", "pad_last"]

Layout = tuple[tuple[int, ...], ...]
"""Active sizes of the factors of every term, such as ``((heads, head_dim), (hidden,))``."""


def layout_of(size: SizeLike) -> Layout:
    """Return the layout of the active units of a size in the current scope."""
    return tuple([tuple([active_size(factor) for factor in factors_of(term)]) for term in terms_of(size)])


def narrow_last(x: Tensor, outer: Layout, inner: Layout) -> Tensor:
    """Narrow the last dimension of an activation of the outer scope to the units of the inner one."""
    if outer == inner:
        return x
    return _by_term(x, outer, inner, _narrow_factors)


def pad_last(x: Tensor, inner: Layout, outer: Layout) -> Tensor:
    """Pad the last dimension of an activation of the inner scope with zeros to the units of the outer one."""
    if outer == inner:
        return x
    return _by_term(x, inner, outer, _pad_factors)


def _by_term(x: Tensor, source: Layout, target: Layout, resize: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Tensor:
    terms = x.split([prod(term) for term in source], -1) if len(source) > 1 else (x,)
    parts = [
        resize(part.unflatten(-1, before), after).flatten(-len(before)) if before != after else part
        for part, before, after in zip(terms, source, target, strict=True)
    ]
    return torch.cat(parts, -1) if len(parts) > 1 else parts[0]


def _narrow_factors(x: Tensor, target: tuple[int, ...]) -> Tensor:
    for offset, units in enumerate(reversed(target)):
        x = x.narrow(-1 - offset, 0, units)
    return x


def _pad_factors(x: Tensor, target: tuple[int, ...]) -> Tensor:
    amounts: list[int] = []
    for offset, units in enumerate(reversed(target)):
        amounts += [0, units - x.shape[-1 - offset]]
    return F.pad(x, amounts)
