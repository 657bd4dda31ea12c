"""The formulas of the primitives as in their papers, in plain torch with loops over positions."""

import torch
from torch import Tensor

__all__ = ["layer_norm", "linrec", "pointwise", "rms_norm", "softmax_attention"]

_EPS = 1e-12  # added under the square root of LinRec's norms


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Compute ``(x - mean) / sqrt(var + eps) * weight + bias`` over the last dimension (arXiv:1607.06450)."""
    centred = x - x.sum(-1, keepdim=True) / x.shape[-1]
    return centred / (centred.pow(2).sum(-1, keepdim=True) / x.shape[-1] + eps).sqrt() * weight + bias


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """Compute ``x / sqrt(mean(x^2) + eps) * weight`` (arXiv:1910.07467), eps the machine epsilon of the dtype."""
    return x / (x.pow(2).sum(-1, keepdim=True) / x.shape[-1] + torch.finfo(x.dtype).eps).sqrt() * weight


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """Compute softmax attention for one head of one sample (arXiv:1706.03762, Eq. 1); rows without keys are 0.

    Args:
        q: Queries ``(N, k)``.
        k: Keys ``(N, k)``.
        v: Values ``(N, k)``.
        seen: ``(N, N)`` bool, True where a query (row) attends to a key (column).
    """
    rows = []
    for position, attended in enumerate(seen):
        scores = (k[attended] @ q[position]) / k.shape[-1] ** 0.5
        weights = scores.exp() / scores.exp().sum()
        rows.append((weights[:, None] * v[attended]).sum(0))
    return torch.stack(rows)


def linrec(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, key_norm: str) -> Tensor:
    """Compute ``A1(elu(Q)) (A2(elu(K))^T V)`` for one head of one sample (EASRec, arXiv:2402.00390v1, Eq. 5).

    Args:
        q: Queries ``(N, k)``.
        k: Keys ``(N, k)``.
        v: Values ``(N, k)``.
        seen: ``(N, N)`` bool, True where a query (row) attends to a key (column).
        key_norm: ``"column"``: features of the keys have unit norm over the attended positions, and queries and keys
            are multiplied by ``1 / sqrt(k)``. ``"token"``: each key has unit norm over its features, with only one
            factor ``1 / sqrt(k)``.
    """
    width, rows = q.shape[-1], []
    query, key = torch.where(q > 0, q, q.exp() - 1), torch.where(k > 0, k, k.exp() - 1)
    query = query / (query.pow(2).sum(-1, keepdim=True) + _EPS).sqrt()
    for position, attended in enumerate(seen):
        keys = key[attended]
        normed = keys / (keys.pow(2).sum(0 if key_norm == "column" else 1, keepdim=True) + _EPS).sqrt()
        rows.append(query[position] @ (normed.T @ v[attended]))
    return torch.stack(rows) / (width if key_norm == "column" else width**0.5)


def pointwise(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, biases: Tensor) -> Tensor:
    """Compute ``1/n sum_j silu(q_i k_j + b_ij) v_j`` for one head of one sample (HSTU, arXiv:2402.17152, Eq. 2).

    The sum is over the n positions that i attends to.

    Args:
        q: Queries ``(N, k)``.
        k: Keys ``(N, k)``.
        v: Values ``(N, k)``.
        seen: ``(N, N)`` bool, True where a query (row) attends to a key (column).
        biases: ``(N, N)``.
    """
    scores = q @ k.T + biases
    weights = torch.where(seen, scores * torch.sigmoid(scores), 0.0)
    return weights @ v / seen.sum(1, keepdim=True).clamp_min(1)
