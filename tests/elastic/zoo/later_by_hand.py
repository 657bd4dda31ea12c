"""More blocks as people write them by hand: mixed heads, a gated unit, one projection for all, two streams."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Stack(nn.Module):
    """Tokens through pre-norm blocks that are attention and feed-forward part at once, with tied scores."""

    def __init__(self, block: type[nn.Module], hidden: int, depth: int, **sizes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(31, hidden)
        self.positions = nn.Parameter(0.1 * torch.randn(16, hidden))
        self.blocks = nn.ModuleList(block(hidden, **sizes) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(depth + 1))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.positions[: ids.shape[1]]
        for block, norm in zip(self.blocks, self.norms, strict=False):
            x = x + block(norm(x))
        return F.linear(self.norms[-1](x), self.embed.weight)


class TalkingHeads(nn.Module):
    """Weights (hidden, heads, d); heads are mixed before and after the softmax."""

    def __init__(self, hidden: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.wq, self.wk, self.wv = (
            nn.Parameter(torch.randn(hidden, heads, head_dim) / math.sqrt(hidden)) for _ in range(3)
        )
        self.before, self.after = (nn.Parameter(torch.eye(heads) + 0.1 * torch.randn(heads, heads)) for _ in range(2))
        self.wo = nn.Parameter(torch.randn(heads, head_dim, hidden) / math.sqrt(hidden))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (torch.einsum("bnc,chd->bnhd", x, w) for w in (self.wq, self.wk, self.wv))
        scores = torch.einsum("bihd,bjhd,hg->bgij", q, k, self.before) / math.sqrt(q.shape[-1])
        weights = torch.einsum("bgij,gh->bhij", scores.softmax(-1), self.after)
        return torch.einsum("bhij,bjhd,hdc->bic", weights, v, self.wo)


class GatedUnit(nn.Module):
    """A gated attention unit: one head with squared relu; queries and keys scale and shift a shared projection."""

    def __init__(self, hidden: int, inner: int, head_dim: int) -> None:
        super().__init__()
        self.to_hidden, self.to_qk = nn.Linear(hidden, 2 * inner), nn.Linear(hidden, head_dim)
        self.gamma, self.beta = nn.Parameter(torch.randn(2, head_dim)), nn.Parameter(0.1 * torch.randn(2, head_dim))
        self.to_out = nn.Linear(inner, hidden)

    def forward(self, x: Tensor) -> Tensor:
        v, gate = F.silu(self.to_hidden(x)).chunk(2, dim=-1)
        q, k = (F.silu(self.to_qk(x))[..., None, :] * self.gamma + self.beta).unbind(dim=-2)
        weights = F.relu(q @ k.transpose(-2, -1) / x.shape[1]).square()
        return self.to_out(gate * (weights @ v))


class Parallel(nn.Module):
    """As in PaLM: one projection for queries, a key, a value and a gated part, and one for their outputs."""

    def __init__(self, hidden: int, heads: int, head_dim: int, inner: int) -> None:
        super().__init__()
        self.heads, self.parts = heads, [heads * head_dim, head_dim, head_dim, inner, inner]
        self.wide = nn.Linear(hidden, sum(self.parts), bias=False)
        self.narrow = nn.Linear(heads * head_dim + inner, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v, value, gate = self.wide(x).split(self.parts, dim=-1)
        q = q.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = (y[:, None].expand(-1, self.heads, -1, -1) for y in (k, v))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2)
        return self.narrow(torch.cat([attended, F.silu(gate) * value], dim=-1))


class Crossing(nn.Module):
    """One stream reads another of another width: keys and values are fused head by head."""

    def __init__(self, width: int, other: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.h = heads
        self.norm, self.query = nn.LayerNorm(width), nn.Linear(width, heads * head_dim)
        self.key_value, self.merge = nn.Linear(other, 2 * heads * head_dim), nn.Linear(heads * head_dim, width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        q = self.query(self.norm(x)).unflatten(-1, (self.h, -1)).transpose(1, 2)
        k, v = self.key_value(y).unflatten(-1, (self.h, -1)).transpose(1, 2).chunk(2, dim=-1)
        return x + self.merge(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))


class TwoStreams(nn.Module):
    """Tokens of width hidden and a sound of half that width read each other; a layer scores both means together."""

    def __init__(self, hidden: int, heads: int, head_dim: int, inner: int, depth: int) -> None:
        super().__init__()
        side = hidden // 2
        self.words, self.sounds = nn.Embedding(31, hidden), nn.Linear(7, side)
        self.across = nn.ModuleList(Crossing(hidden, side, heads, head_dim) for _ in range(depth))
        self.back = nn.ModuleList(Crossing(side, hidden, heads, head_dim) for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(hidden, inner) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(inner, hidden) for _ in range(depth))
        self.score = nn.Linear(hidden + side, 5)

    def forward(self, ids: Tensor, sound: Tensor) -> Tensor:
        x, y = self.words(ids), self.sounds(sound)
        for across, back, up, down in zip(self.across, self.back, self.up, self.down, strict=True):
            x, y = across(x, y), back(y, x)
            x = x + down(F.gelu(up(x)))
        return self.score(torch.cat([x.mean(1), y.mean(1)], dim=-1))
