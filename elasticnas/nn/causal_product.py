"""causal_product: prefix sums of outer products of keys and values, applied to queries, in chunks."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from elasticnas.nn.own_gradient import differentiated, takes_own_gradient

__all__ = ["causal_product"]

_CHUNK = 64


def causal_product(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute ``out_n = q_n sum_{j <= n} k_j v_j^T``: prefix sums of k^T v over chunks, direct products within one.

    Args:
        query: ``(B, g, r, N, k)``.
        key: ``(B, g, 1, N, k)``.
        value: ``(B, g, 1, N, k)``.

    Returns:
        ``(B, g, r, N, k)``. Time and memory are O(N), in the backward pass too.
    """
    if not takes_own_gradient(query, key, value):
        return _plain(query, key, value)
    out: Tensor = _CausalProduct.apply(query, key, value)  # type: ignore[no-untyped-call]
    return out


def _chunks(length: int, features: int) -> tuple[int, int]:
    """Return the number of chunks and their length.

    Equal chunks of at least k / 2 positions, so that the k x k sums take at most twice the memory of the keys.
    """
    chunks = max(1, -(-length // max(_CHUNK, features)))
    return chunks, -(-length // chunks)


def _plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    length = query.shape[-2]
    chunks, chunk = _chunks(length, query.shape[-1])
    if chunks == 1:
        return (query @ key.transpose(-1, -2)).tril_() @ value
    missing = -length % chunk
    if missing:
        query, key, value = (F.pad(x, (0, 0, 0, missing)) for x in (query, key, value))
    # reshape, since torch.func.vmap has no rule for unflatten
    q, k, v = (x.reshape(*x.shape[:3], chunks, chunk, x.shape[4]) for x in (query, key, value))
    sums = k.transpose(-1, -2) @ v
    sums = sums if sums.dtype in (torch.float32, torch.float64) else sums.float()  # half is too coarse for sums
    before = (sums.cumsum(-3) - sums).to(q)
    inside = (q @ k.transpose(-1, -2)).tril_() @ v
    out: Tensor = inside.add_(q @ before).flatten(-3, -2)[..., :length, :]
    return out


class _CausalProduct(torch.autograd.Function):
    """The same as :func:`_plain`, with few operations on tensors ``(B g chunks, r chunk, k)``, without their views."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        chunks, chunk = ctx.sizes = _chunks(*query.shape[-2:])
        q, k, v = _rows(query, chunk), _rows(key, chunk), _rows(value, chunk)
        scores = _lower(torch.bmm(q, k.mT))
        out, before = torch.bmm(scores, v), None
        if chunks > 1:
            sums = torch.bmm(k.mT, v)
            each = sums.view(-1, chunks, *sums.shape[1:])
            before = each.cumsum(1).sub_(each).view_as(sums)
            out = torch.baddbmm(out, q, before)  # torch does not count the FLOPs of the form in place
        ctx.save_for_backward(query, key, value, q, k, v, scores, before)
        return _positions(out, query, chunk)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        query, key, value, q, k, v, scores, before = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (*differentiated(lambda *each: (_plain(*each),), (query, key, value), (grad,)),)
        chunks, chunk = ctx.sizes
        out = _rows(grad, chunk)
        inside = _lower(torch.bmm(out, v.mT))
        into_query, into_key = torch.bmm(inside, k), torch.bmm(inside.mT, q)
        into_value = torch.bmm(scores.mT, out)
        if before is not None:
            sums = torch.bmm(q.mT, out)
            each = sums.view(-1, chunks, *sums.shape[1:])
            after = each.flip(1).cumsum_(1).flip(1).sub_(each).view_as(sums)
            into_query = torch.baddbmm(into_query, out, before.mT)
            into_key = torch.baddbmm(into_key, v, after.mT)
            into_value = torch.baddbmm(into_value, k, after)
        return (
            _positions(into_query, query, chunk),
            _positions(into_key, key, chunk),
            _positions(into_value, value, chunk),
        )


def _rows(x: Tensor, chunk: int) -> Tensor:
    """Map ``(B, g, r, N, k)`` to ``(B g chunks, r chunk, k)``, padded with zeros."""
    missing, queries, features = -x.shape[3] % chunk, x.shape[2], x.shape[4]
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    if queries > 1:
        x = x.reshape(*x.shape[:3], -1, chunk, features).transpose(2, 3)
    return x.reshape(-1, queries * chunk, features)


def _positions(rows: Tensor, like: Tensor, chunk: int) -> Tensor:
    """Undo :func:`_rows`."""
    samples, heads, queries, length, features = like.shape
    if queries > 1:
        rows = rows.view(samples, heads, -1, queries, chunk, features).transpose(2, 3)
    whole = rows.reshape(samples, heads, queries, -1, features)
    return whole if whole.shape[3] == length else whole[..., :length, :]


def _lower(scores: Tensor) -> Tensor:
    """Set the scores ``(B g chunks, r chunk, chunk)`` of later positions to 0, in place."""
    chunk = scores.shape[-1]
    scores.view(-1, chunk, chunk).tril_()
    return scores
