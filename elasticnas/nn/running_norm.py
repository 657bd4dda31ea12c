"""running_norm: LinRec's normalised queries for the causal form, with the gradient written by hand."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from elasticnas.nn.own_gradient import differentiated

__all__ = ["running_norm"]


def running_norm(
    query: Tensor, key: Tensor, feature_mask: Tensor | None, scale: float | Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Return queries divided by their norm and by the running norms of the key columns, and the keys, after elu.

    With ``q = elu(query)``, ``k = elu(key)`` and mask m, the query of position n and feature i is
    ``scale q_ni m_i / sqrt(sum_i m_i q_ni^2 + eps) / sqrt(sum_{j <= n} k_ji^2 + eps)``.

    Args:
        query: ``(B, g, r, N, k)``, float32 or float64; no dtype narrower.
        key: ``(B, g, 1, N, k)``.
        feature_mask: Mask over k, ``(..., k)``, without a gradient; or None.
        scale: Constant factor, without a gradient.
        eps: Added under both square roots.

    Returns:
        ``(B, g, r, N, k)`` and ``(B, g, 1, N, k)``, contiguous.
    """
    found: tuple[Tensor, Tensor] = _RunningNorm.apply(query, key, feature_mask, scale, eps)  # type: ignore[no-untyped-call]
    return found


def _plain(
    query: Tensor, key: Tensor, feature_mask: Tensor | None, scale: float | Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    q, k = F.elu(query), F.elu(key)
    masked = q if feature_mask is None else q * feature_mask
    inverse = ((q * masked).sum(-1, keepdim=True) + eps).rsqrt() * scale
    return masked * inverse * ((k * k).cumsum(-2) + eps).rsqrt(), k


class _RunningNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, feature_mask: Tensor | None, scale: float | Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        # copied to contiguous memory here, instead of in every product
        q, k = (F.elu(x.clone(memory_format=torch.contiguous_format), inplace=True) for x in (query, key))
        masked = q if feature_mask is None else q * feature_mask
        inverse = (q * masked).sum(-1, keepdim=True).add_(eps).rsqrt_()
        running = (k * k).cumsum_(-2).add_(eps).rsqrt_()
        ctx.constants = feature_mask, scale, eps
        ctx.save_for_backward(query, key, q, k, inverse, running)
        return (masked * running).mul_(inverse * scale), k

    @staticmethod
    def backward(ctx: Any, grad: Tensor, key_grad: Tensor) -> Any:
        query, key, q, k, inverse, running = ctx.saved_tensors
        mask, scale, eps = ctx.constants
        if torch.is_grad_enabled():

            def compute(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
                return _plain(query, key, mask, scale, eps)

            return *differentiated(compute, (query, key), (grad, key_grad)), None, None, None
        # in place where possible: memory that leaves the cache takes longer than the arithmetic
        into_query = (grad * running).mul_(inverse * scale)
        if mask is not None:
            into_query.mul_(mask)
        projected = into_query * q
        row = projected.sum(-1, keepdim=True).mul_(inverse).mul_(inverse)
        into_query.addcmul_(row, q if mask is None else q * mask, value=-1)
        column = projected if projected.shape[2] == 1 else projected.sum(2, keepdim=True)
        column = column.mul_(running).mul_(running).flip(-2).cumsum_(-2).flip(-2)
        into_key = key_grad - column.mul_(k)
        return _through_elu(into_query, q), _through_elu(into_key, k), None, None, None


def _through_elu(grad: Tensor, result: Tensor) -> Tensor:
    """Return the gradient before elu from that of its result."""
    before: Tensor = torch.ops.aten.elu_backward(grad, 1.0, 1.0, 1.0, True, result)
    return before
