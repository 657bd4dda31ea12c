"""Blocks as people write them by hand: each keeps its heads, if at all, under a name of its own."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeedForward(nn.Module):
    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(hidden, inner), nn.Linear(inner, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))


class FusedGLU(nn.Module):
    """Gate and value in one projection, the gate first."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.wi, self.wo = nn.Linear(hidden, 2 * inner), nn.Linear(inner, hidden)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.wi(x).chunk(2, dim=-1)
        return self.wo(F.silu(gate) * value)


class Experts(nn.Module):
    """A mixture of four experts in stacked weights; each token goes to its best two."""

    def __init__(self, hidden: int, inner: int, experts: int = 4) -> None:
        super().__init__()
        self.router = nn.Linear(hidden, experts)
        self.w1 = nn.Parameter(torch.randn(experts, hidden, 2 * inner) / math.sqrt(hidden))
        self.w2 = nn.Parameter(torch.randn(experts, inner, hidden) / math.sqrt(inner))

    def forward(self, x: Tensor) -> Tensor:
        best, index = self.router(x).softmax(-1).topk(2, dim=-1)
        weights = torch.zeros_like(x[..., :1]).expand(*x.shape[:-1], self.w1.shape[0]).scatter(-1, index, best)
        gate, value = torch.einsum("bnd,edi->bnei", x, self.w1).chunk(2, dim=-1)
        return torch.einsum("bnei,eid,bne->bnd", F.silu(gate) * value, self.w2, weights)


class GPTAttention(nn.Module):
    """As in nanoGPT: one projection, the number of heads, and no width of a head on the module."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.n_head = heads
        self.c_attn, self.c_proj = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        B, N, d = x.shape
        q, k, v = self.c_attn(x).split(d, dim=2)
        q, k, v = (y.view(B, N, self.n_head, d // self.n_head).transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(B, N, d))


class AnnotatedAttention(nn.Module):
    """As in the Annotated Transformer: four linear layers in a list, self.h and self.d_k."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.d_k, self.h = hidden // heads, heads
        self.linears = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        B = x.shape[0]
        q, k, v = (layer(x).view(B, -1, self.h, self.d_k).transpose(1, 2) for layer in self.linears[:3])
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(self.d_k)
        y = scores.softmax(-1) @ v
        return self.linears[-1](y.transpose(1, 2).reshape(B, -1, self.h * self.d_k))


class InterleavedAttention(nn.Module):
    """Queries, keys and values fused head by head: the rows are (heads, 3, d)."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (self.heads, -1)).transpose(1, 2).chunk(3, dim=-1)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))


class DimFirstAttention(nn.Module):
    """The width of a head outermost, as ``rearrange(x, "b n (d h) -> b h n d")`` has it."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(hidden, hidden) for _ in range(3))
        self.out = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (-1, self.heads)).permute(0, 3, 1, 2) for layer in (self.q, self.k, self.v))
        return self.out(F.scaled_dot_product_attention(q, k, v).permute(0, 2, 3, 1).flatten(-2))


class EinsumAttention(nn.Module):
    """Weights of three dimensions, (heads, hidden, d) and (heads, d, hidden)."""

    def __init__(self, hidden: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.wq, self.wk, self.wv = (
            nn.Parameter(torch.randn(heads, hidden, head_dim) / math.sqrt(hidden)) for _ in range(3)
        )
        self.bq = nn.Parameter(torch.zeros(heads, 1, head_dim))
        self.wo = nn.Parameter(torch.randn(heads, head_dim, hidden) / math.sqrt(hidden))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (torch.einsum("bnd,hdk->bhnk", x, w) for w in (self.wq, self.wk, self.wv))
        return torch.einsum("bhnk,hkd->bnd", F.scaled_dot_product_attention(q + self.bq, k, v), self.wo)


class AlibiAttention(nn.Module):
    """A linear penalty on distance, with a slope for each head that is computed from their number."""

    slopes: Tensor

    def __init__(self, hidden: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.num = heads
        self.q, self.k, self.v = (nn.Linear(hidden, heads * head_dim) for _ in range(3))
        self.o = nn.Linear(heads * head_dim, hidden)
        self.register_buffer("slopes", 2 ** (-8 * torch.arange(1, heads + 1) / heads), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (self.num, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        place = torch.arange(x.shape[1])
        bias = -self.slopes[:, None, None] * (place[:, None] - place).abs()
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q))
        return self.o(y.transpose(1, 2).flatten(-2))


class PerceiverAttention(nn.Module):
    """Latents read an input of a fixed width: keys and values fused, a query projection of its own."""

    def __init__(self, hidden: int, heads: int, width: int) -> None:
        super().__init__()
        self.n = heads
        self.to_q, self.to_kv = nn.Linear(hidden, hidden, bias=False), nn.Linear(width, 2 * hidden, bias=False)
        self.to_out = nn.Linear(hidden, hidden)

    def forward(self, latents: Tensor, context: Tensor) -> Tensor:
        q, (k, v) = self.to_q(latents), self.to_kv(context).chunk(2, dim=-1)
        q, k, v = (y.unflatten(-1, (self.n, -1)).transpose(1, 2) for y in (q, k, v))
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))
