"""Nesting: the last dimension of an activation between a scope and a narrower one inside it."""

from collections.abc import Callable
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from elasticnas.axes.size import SizeLike, active_size, factors_of, terms_of

__all__ = ["Layout", "layout_of", "narrow_last", "pad_last"]

Layout = tuple[tuple[int, ...], ...]
"""Active sizes of the factors of every term, as ``((heads, head_dim), (hidden,))``."""


def layout_of(size: SizeLike) -> Layout:
    """How the active units of a size lie in the current scope."""
    return tuple([tuple([active_size(factor) for factor in factors_of(term)]) for term in terms_of(size)])


def narrow_last(x: Tensor, outer: Layout, inner: Layout) -> Tensor:
    """The units of a narrower scope, out of the last dimension of an activation of the outer one."""
    if outer == inner:
        return x
    return _by_term(x, outer, inner, _narrowed)


def pad_last(x: Tensor, inner: Layout, outer: Layout) -> Tensor:
    """Zeros in the places that a narrower scope does not have, so that the last dimension is the outer scope's."""
    if outer == inner:
        return x
    return _by_term(x, inner, outer, _padded)


def _by_term(x: Tensor, given: Layout, wanted: Layout, change: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Tensor:
    terms = x.split([prod(term) for term in given], -1) if len(given) > 1 else (x,)
    parts = [
        change(part.unflatten(-1, before), after).flatten(-len(before)) if before != after else part
        for part, before, after in zip(terms, given, wanted, strict=True)
    ]
    return torch.cat(parts, -1) if len(parts) > 1 else parts[0]


def _narrowed(x: Tensor, wanted: tuple[int, ...]) -> Tensor:
    for offset, units in enumerate(reversed(wanted)):
        x = x.narrow(-1 - offset, 0, units)
    return x


def _padded(x: Tensor, wanted: tuple[int, ...]) -> Tensor:
    amounts: list[int] = []
    for offset, units in enumerate(reversed(wanted)):
        amounts += [0, units - x.shape[-1 - offset]]
    return F.pad(x, amounts)
