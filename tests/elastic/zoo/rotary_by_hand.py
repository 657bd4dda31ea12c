"""Attention with rotary embeddings and grouped queries, by hand: apart, and fused in one projection."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def frequencies(width: int) -> Tensor:
    return 100 ** (-torch.arange(0, width, 2) / width)


def turned(x: Tensor, inv_freq: Tensor) -> Tensor:
    """Pairs of units i and i + width / 2."""
    angles = torch.outer(torch.arange(x.shape[-2]), inv_freq).repeat(1, 2)
    first, second = x.chunk(2, dim=-1)
    return x * angles.cos() + torch.cat([-second, first], dim=-1) * angles.sin()


def turned_by_neighbours(x: Tensor, inv_freq: Tensor) -> Tensor:
    """Pairs of units 2 i and 2 i + 1, as complex numbers."""
    angles = torch.outer(torch.arange(x.shape[-2]), inv_freq)
    even, odd = x[..., ::2], x[..., 1::2]
    parts = [even * angles.cos() - odd * angles.sin(), odd * angles.cos() + even * angles.sin()]
    return torch.stack(parts, dim=-1).flatten(-2)


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Query heads share the key heads in blocks: head i reads key head i // (heads / kv)."""
    k, v = (y.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for y in (k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2)


class Grouped(nn.Module):
    """As in Llama, with normed queries and keys as in Qwen3."""

    inv_freq: Tensor

    def __init__(self, hidden: int, heads: int, kv: int, head_dim: int) -> None:
        super().__init__()
        self.width = head_dim
        self.wq = nn.Linear(hidden, heads * head_dim, bias=False)
        self.wk = nn.Linear(hidden, kv * head_dim, bias=False)
        self.wv = nn.Linear(hidden, kv * head_dim, bias=False)
        self.wo = nn.Linear(heads * head_dim, hidden, bias=False)
        self.q_norm, self.k_norm = nn.RMSNorm(head_dim), nn.RMSNorm(head_dim)
        self.register_buffer("inv_freq", frequencies(head_dim), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (-1, self.width)).transpose(1, 2) for layer in (self.wq, self.wk, self.wv))
        q, k = turned(self.q_norm(q), self.inv_freq), turned(self.k_norm(k), self.inv_freq)
        return self.wo(attended(q, k, v))


class Interleaved(nn.Module):
    """As in Meta's Llama: neighbours are pairs."""

    inv_freq: Tensor

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.n_heads = heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(hidden, hidden, bias=False) for _ in range(4))
        self.register_buffer("inv_freq", frequencies(hidden // heads), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for layer in (self.wq, self.wk, self.wv))
        q, k = (turned_by_neighbours(y, self.inv_freq) for y in (q, k))
        return self.wo(attended(q, k, v))


class FusedGrouped(nn.Module):
    """One projection for all query heads, then the key heads, then the value heads."""

    def __init__(self, hidden: int, heads: int, kv: int, head_dim: int) -> None:
        super().__init__()
        self.parts = [heads * head_dim, kv * head_dim, kv * head_dim]
        self.size = head_dim
        self.qkv = nn.Linear(hidden, sum(self.parts))
        self.out = nn.Linear(heads * head_dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).split(self.parts, dim=-1)
        q, k, v = (y.unflatten(-1, (-1, self.size)).transpose(1, 2) for y in (q, k, v))
        return self.out(attended(q, k, v))


class MultiQuery(nn.Module):
    """All heads share one key and one value, at the end of a fused projection."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads, self.hidden = heads, hidden
        self.qkv, self.proj = nn.Linear(hidden, hidden + 2 * (hidden // heads)), nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        width = self.hidden // self.heads
        q, k, v = self.qkv(x).split([self.hidden, width, width], dim=-1)
        return self.proj(attended(q.unflatten(-1, (self.heads, width)).transpose(1, 2), k[:, None], v[:, None]))
