"""The operations of the primitives as their papers write them: loops over positions and heads, in plain torch."""

import torch
from torch import Tensor

__all__ = ["layer_norm", "linrec", "pointwise", "rms_norm", "softmax_attention"]

_EPS = 1e-12  # under the root of LinRec's norms


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last dimension (arXiv:1607.06450)."""
    centred = x - x.sum(-1, keepdim=True) / x.shape[-1]
    return centred / (centred.pow(2).sum(-1, keepdim=True) / x.shape[-1] + eps).sqrt() * weight + bias


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` (arXiv:1910.07467), eps that of the dtype."""
    return x / (x.pow(2).sum(-1, keepdim=True) / x.shape[-1] + torch.finfo(x.dtype).eps).sqrt() * weight


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """One head of one sample, ``(N, k)`` each (arXiv:1706.03762, Eq. 1); rows that see nothing are 0.

    Args:
        q: Queries.
        k: Keys.
        v: Values.
        seen: ``(N, N)`` bool.
    """
    rows = []
    for position, sees in enumerate(seen):
        scores = (k[sees] @ q[position]) / k.shape[-1] ** 0.5
        weights = scores.exp() / scores.exp().sum()
        rows.append((weights[:, None] * v[sees]).sum(0))
    return torch.stack(rows)


def linrec(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, key_norm: str) -> Tensor:
    """One head of one sample: ``A1(elu(Q)) (A2(elu(K))^T V)``, EASRec, arXiv:2402.00390v1, Eq. 5, for each position.

    Args:
        q: Queries ``(N, k)``.
        k: Keys.
        v: Values.
        seen: ``(N, N)`` bool.
        key_norm: ``"column"``: features of the keys have unit norm over the positions seen, and both factors carry
            ``1 / sqrt(k)``. ``"token"``: keys have unit norm over their features, and one factor does.
    """
    width, rows = q.shape[-1], []
    query, key = torch.where(q > 0, q, q.exp() - 1), torch.where(k > 0, k, k.exp() - 1)
    query = query / (query.pow(2).sum(-1, keepdim=True) + _EPS).sqrt()
    for position, sees in enumerate(seen):
        kept = key[sees]
        normed = kept / (kept.pow(2).sum(0 if key_norm == "column" else 1, keepdim=True) + _EPS).sqrt()
        rows.append(query[position] @ (normed.T @ v[sees]))
    return torch.stack(rows) / (width if key_norm == "column" else width**0.5)


def pointwise(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, biases: Tensor) -> Tensor:
    """One head of one sample: ``1/n sum_j silu(q_i k_j + b_ij) v_j`` over the n seen (HSTU, arXiv:2402.17152, Eq. 2).

    Args:
        q: Queries ``(N, k)``.
        k: Keys.
        v: Values.
        seen: ``(N, N)`` bool.
        biases: ``(N, N)``.
    """
    scores = q @ k.T + biases
    weights = torch.where(seen, scores * torch.sigmoid(scores), 0.0)
    return weights @ v / seen.sum(1, keepdim=True).clamp_min(1)
