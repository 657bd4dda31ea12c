"""Models with habits of people: lists of parameters, heads of two kinds, adapters, channels first, several widths."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def weight(*shape: int, reads: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) / math.sqrt(reads))


class OneParameter(nn.Module):
    """q, k and v in one parameter (heads, 3, d, hidden); a gain and a temperature for each head."""

    def __init__(self, hidden: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.qkv = weight(heads, 3, head_dim, hidden, reads=hidden)
        self.q_gain, self.k_gain = nn.Parameter(torch.ones(heads, head_dim)), nn.Parameter(torch.ones(heads, head_dim))
        self.temperature = nn.Parameter(torch.zeros(heads, 1, 1))
        self.out = weight(heads, head_dim, hidden, reads=heads * head_dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = torch.einsum("bnc,htdc->tbhnd", x, self.qkv)
        q = F.rms_norm(q, q.shape[-1:]) * self.q_gain[:, None]
        k = F.rms_norm(k, k.shape[-1:]) * self.k_gain[:, None]
        weights = (q @ k.transpose(-2, -1) * self.temperature.exp()).softmax(-1)
        return torch.einsum("bhnd,hdc->bnc", weights @ v, self.out)


class Scaled(nn.Module):
    """Each part of a layer is scaled by a vector; words, places and kinds are summed; returns a dict."""

    def __init__(self, hidden: int, heads: int, head_dim: int, inner: int, depth: int) -> None:
        super().__init__()
        self.words, self.places, self.kinds = (nn.Embedding(n, hidden) for n in (31, 16, 2))
        self.attentions = nn.ModuleList(OneParameter(hidden, heads, head_dim) for _ in range(depth))
        self.parts = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden, inner), nn.GELU(), nn.Linear(inner, hidden)) for _ in range(depth)
        )
        self.scales = nn.ParameterList(torch.full((2, hidden), 0.5) for _ in range(depth))
        self.score = nn.Linear(hidden, 5)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        x = self.words(ids) + self.places.weight[: ids.shape[1]] + self.kinds(ids % 2)
        for attention, part, scale in zip(self.attentions, self.parts, self.scales, strict=True):
            x = x + scale[0] * attention(F.layer_norm(x, x.shape[-1:]))
            x = x + scale[1] * part(F.layer_norm(x, x.shape[-1:]))
        return {"states": x, "logits": self.score(x)}


@dataclass
class Result:
    """Scores, and the states that they were made of."""

    scores: Tensor
    states: Tensor


class Lists(nn.Module):
    """All weights in lists, one for each layer; value and gate are neighbours; returns a dataclass."""

    def __init__(self, hidden: int, heads: int, kv: int, head_dim: int, inner: int, depth: int) -> None:
        super().__init__()
        self.heads, self.kv = heads, kv
        self.embed = nn.Parameter(torch.randn(31, hidden))
        shapes = {"wq": (hidden, heads * head_dim), "wk": (hidden, kv * head_dim), "wv": (hidden, kv * head_dim),
                  "wo": (heads * head_dim, hidden), "up": (hidden, 2 * inner), "down": (inner, hidden)}  # fmt: skip
        for name, shape in shapes.items():
            setattr(self, name, nn.ParameterList(weight(*shape, reads=shape[0]) for _ in range(depth)))
        self.gains = nn.ParameterList(torch.ones(hidden) for _ in range(2 * depth))

    def forward(self, ids: Tensor) -> Result:
        x = self.embed[ids]
        for layer in range(len(self.wq)):
            y = F.rms_norm(x, x.shape[-1:]) * self.gains[2 * layer]
            q, k, v = (
                (y @ w).unflatten(-1, (n, -1)).transpose(1, 2)
                for w, n in ((self.wq[layer], self.heads), (self.wk[layer], self.kv), (self.wv[layer], self.kv))
            )
            k, v = (t.repeat_interleave(self.heads // self.kv, dim=1) for t in (k, v))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
            x = x + y @ self.wo[layer]
            y = (F.rms_norm(x, x.shape[-1:]) * self.gains[2 * layer + 1]) @ self.up[layer]
            x = x + (y[..., 0::2] * F.silu(y[..., 1::2])) @ self.down[layer]
        return Result(x @ self.embed.T, x)


class Reader(nn.Module):
    """A decoder layer that reads a memory of another width."""

    def __init__(self, hidden: int, heads: int, inner: int, memory: int) -> None:
        super().__init__()
        self.own = nn.MultiheadAttention(hidden, heads, batch_first=True)
        self.cross = nn.MultiheadAttention(hidden, heads, kdim=memory, vdim=memory, batch_first=True)
        self.up, self.down = nn.Linear(hidden, inner), nn.Linear(inner, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(3))

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        x = self.norms[0](x + self.own(x, x, x, attn_mask=mask, need_weights=False)[0])
        x = self.norms[1](x + self.cross(x, memory, memory, need_weights=False)[0])
        return self.norms[2](x + self.down(F.gelu(self.up(x))))


class TiedProjection(nn.Module):
    """Embeddings of width 12, a projection to hidden, and both once more, transposed, for the scores."""

    def __init__(self, hidden: int, heads: int, inner: int, depth: int) -> None:
        super().__init__()
        self.embed, self.widen = nn.Embedding(31, 12), nn.Linear(12, hidden, bias=False)
        self.places = nn.Parameter(torch.randn(1, 16, hidden))
        self.layers = nn.ModuleList(Reader(hidden, heads, inner, 20) for _ in range(depth))

    def forward(self, ids: Tensor, memory: Tensor) -> Tensor:
        n = ids.shape[1]
        x = self.widen(self.embed(ids)) + self.places[:, :n]
        mask = torch.ones(n, n, dtype=torch.bool, device=ids.device).triu(1)
        for layer in self.layers:
            x = layer(x, memory, mask)
        return x @ self.widen.weight @ self.embed.weight.T


class ChannelsFirst(nn.Module):
    """Convolutions over (B, hidden, N): group norms, tokens mixed by a fixed size, a gated part, a flat head."""

    def __init__(self, hidden: int, inner: int, depth: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, hidden, 4, stride=4), nn.Flatten(2), nn.GroupNorm(4, hidden))
        self.layers = nn.ModuleList(
            nn.ModuleDict({
                "norm1": nn.GroupNorm(4, hidden),
                "tokens": nn.Sequential(nn.Linear(16, 10), nn.GELU(), nn.Linear(10, 16)),
                "norm2": nn.GroupNorm(4, hidden), "wide": nn.Conv1d(hidden, 2 * inner, 1),
                "narrow": nn.Conv1d(inner, hidden, 1),
            })
            for _ in range(depth)
        )  # fmt: skip
        self.scale = nn.Parameter(torch.full((depth, hidden, 1), 0.5))
        self.head = nn.Linear(4 * hidden, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        for layer, scale in zip(self.layers, self.scale, strict=True):
            x = x + scale * layer["tokens"](layer["norm1"](x))
            value, gate = layer["wide"](layer["norm2"](x)).chunk(2, dim=1)
            x = x + layer["narrow"](value * gate.sigmoid())
        return self.head(F.avg_pool1d(x, 4).flatten(1))


class TwoKinds(nn.Module):
    """Some heads have a softmax, the last two are linear with a decay; all are gated and concatenated."""

    linear = 2

    def __init__(self, hidden: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, every = heads, heads + self.linear
        self.to_q, self.to_k, self.to_v = (nn.Linear(hidden, every * head_dim) for _ in range(3))
        self.gate, self.decay = nn.Linear(hidden, every), nn.Parameter(torch.zeros(self.linear))
        self.merge = nn.Linear(every * head_dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        every = self.heads + self.linear
        q, k, v = (p(x).unflatten(-1, (every, -1)).transpose(1, 2) for p in (self.to_q, self.to_k, self.to_v))
        parts = [self.heads, self.linear]
        (q, qs), (k, ks), (v, vs) = (t.split(parts, dim=1) for t in (q, k, v))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        n = torch.arange(x.shape[1], device=x.device)
        distance = (n[:, None] - n).clamp(min=0)
        kept = self.decay.sigmoid()[:, None, None] ** distance * (n[:, None] >= n)
        recurrent = (F.elu(qs) + 1) @ (F.elu(ks) + 1).transpose(-2, -1) * kept @ vs / q.shape[-1]
        y = torch.cat([attended, recurrent], dim=1).transpose(1, 2) * self.gate(x).sigmoid()[..., None]
        return self.merge(y.flatten(2))


class Lora(nn.Module):
    """A linear layer and a product of two of rank 4 beside it."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.down, self.up = nn.Linear(base.in_features, 4, bias=False), nn.Linear(4, base.out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 0.5 * self.up(self.down(x))


class Plain(nn.Module):
    """A post-norm layer whose heads have a width of their own."""

    def __init__(self, hidden: int, heads: int, head_dim: int, inner: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.q, self.k, self.v = (nn.Linear(hidden, heads * head_dim) for _ in range(3))
        self.o = nn.Linear(heads * head_dim, hidden)
        self.fc1, self.fc2 = nn.Linear(hidden, inner), nn.Linear(inner, hidden)
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = (p(x).view(b, n, -1, self.head_dim).permute(0, 2, 1, 3) for p in (self.q, self.k, self.v))
        y = ((q @ k.mT) / math.sqrt(self.head_dim)).softmax(-1) @ v
        x = self.norm1(x + self.o(y.permute(0, 2, 1, 3).reshape(b, n, -1)))
        return self.norm2(x + self.fc2(F.relu(self.fc1(x))))


class Adapted(nn.Module):
    """Plain layers, of which adapters then replace some linear ones."""

    def __init__(self, hidden: int, heads: int, head_dim: int, inner: int, depth: int) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(31, hidden), nn.Embedding(16, hidden)
        self.encoder = nn.Sequential(*(Plain(hidden, heads, head_dim, inner) for _ in range(depth)))
        self.score = nn.Linear(hidden, 5)
        for layer in self.encoder:
            for name in ("q", "v", "fc1"):
                setattr(layer, name, Lora(getattr(layer, name)))

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.score(self.encoder(self.embed(ids) + self.places(places)).mean(1))
