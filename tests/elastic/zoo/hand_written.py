"""Models written by hand around the blocks beside this file."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tests.elastic.zoo import by_hand, rotary_by_hand
from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.inputs import IDS, per_head, pixels

Layouts = Mapping[str, Mapping[int, str]]


class Blocks(nn.Module):
    """Tokens through pre-norm blocks of an attention and a feed-forward part, with tied scores."""

    def __init__(
        self, attention: Callable[..., nn.Module], part: Callable[..., nn.Module], hidden: int, inner: int, depth: int,
        **sizes: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embed = nn.Embedding(31, hidden)
        self.positions = nn.Parameter(0.1 * torch.randn(16, hidden))
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"norm1": nn.LayerNorm(hidden), "attn": attention(hidden, **sizes),
                           "norm2": nn.LayerNorm(hidden), "ffn": part(hidden, inner)})
            for _ in range(depth)
        )  # fmt: skip
        self.norm = nn.LayerNorm(hidden)
        self.score = nn.Linear(hidden, 31, bias=False)
        self.score.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.positions[: ids.shape[1]]
        for block in self.blocks:
            x = x + block["attn"](block["norm1"](x))
            x = x + block["ffn"](block["norm2"](x))
        return self.score(self.norm(x))


class Perceiver(nn.Module):
    """Latents that read an input of width 20, then each other."""

    def __init__(self, hidden: int, heads: int, inner: int, depth: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(3, hidden))
        self.reads = by_hand.PerceiverAttention(hidden, heads, 20)
        self.layers = nn.ModuleList(by_hand.PerceiverAttention(hidden, heads, hidden) for _ in range(depth))
        self.parts = nn.ModuleList(by_hand.FeedForward(hidden, inner) for _ in range(depth))
        self.norm = nn.LayerNorm(hidden)

    def forward(self, context: Tensor) -> Tensor:
        x = self.latents.expand(context.shape[0], -1, -1)
        x = x + self.reads(self.norm(x), context)
        for attention, part in zip(self.layers, self.parts, strict=True):
            x = x + attention(x, x)
            x = x + part(x)
        return self.norm(x)


class ConvStem(nn.Module):
    """Convolutions with batch norm from 1 to hidden / 4 to hidden channels, then blocks and a mean."""

    def __init__(self, hidden: int, heads: int, inner: int, depth: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, hidden // 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(hidden // 4), nn.GELU(),
            nn.Conv2d(hidden // 4, hidden, 4, stride=4),
        )  # fmt: skip
        self.blocks = nn.Sequential()
        for _ in range(depth):
            self.blocks.append(by_hand.GPTAttention(hidden, heads))
            self.blocks.append(by_hand.FusedGLU(hidden, inner))
        self.head = nn.Linear(hidden, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = x + block(nn.functional.layer_norm(x, x.shape[-1:]))
        return self.head(x.mean(1))


def vectors(sizes: Sizes) -> dict[str, Tensor]:
    return {"context": (torch.arange(2 * 7 * 20, dtype=torch.float64) * 0.37).sin().reshape(2, 7, 20)}


PLAIN = {"hidden": 32, "heads": 4, "inner": 48, "depth": 2}
FOLLOWS = {  # heads of 8 units, so that hidden follows the heads
    "hidden": {"hidden": 24},
    "heads": {"heads": 3, "hidden": 24},
    "inner": {"inner": 36},
    "depth": {"depth": 1},
}
APART = {**FOLLOWS, "heads": {"heads": 3}, "head_dim": {"head_dim": 6}}


def ids(sizes: Sizes) -> dict[str, Tensor]:
    return {"ids": IDS}


def blocks(name: str, attention: Callable[..., nn.Module], layouts: Layouts, **more: Any) -> Family:
    part = more.pop("part", by_hand.FeedForward)
    given = {"full": PLAIN, "spaces": FOLLOWS, "example": ids, "derive": per_head, "package": "torch", **more}
    return Family(name, partial(Blocks, attention, part), layouts=layouts, **given)


GPT = {"*c_attn.*": {0: "3 * heads * d"}, "*c_proj.weight": {1: "heads * d"}}
GLU = {"*.wi.*": {0: "2 * inner"}, "*.wo.weight": {1: "inner"}}


def separate(rows: str) -> Layouts:
    return {"*.attn.[qkv].*": {0: rows}, "*.attn.o*.weight": {1: rows}}


# query heads share key heads in blocks, so that fewer heads with as many key heads are a smaller share of each block
GROUPED = {"hidden": 32, "heads": 6, "kv": 3, "head_dim": 8, "inner": 48, "depth": 2}


def groups(sizes: Sizes) -> Sizes:
    return {"group": sizes["heads"] // sizes["kv"], "half": sizes["head_dim"] // 2}


llama = blocks(
    "Llama by hand, grouped queries", rotary_by_hand.Grouped,
    {
        "*.wq.weight": {0: "kv * group * 2 * half"},
        "*.wk.weight": {0: "kv * 2 * half"},
        "*.wv.weight": {0: "kv * head_dim"},
        "*.attn.wo.weight": {1: "kv * group * head_dim"},
        "*.[qk]_norm.weight": {0: "2 * half"},
        **GLU,
    },
    full=GROUPED, spaces={**APART, "heads": {"heads": 3}, "kv": {"kv": 2, "heads": 4}}, derive=groups,
    part=by_hand.FusedGLU, note="heads: with as many key heads; kv: in proportion to the heads",
)  # fmt: skip

fused = blocks(
    "grouped queries by hand, fused", rotary_by_hand.FusedGrouped,
    {"*.qkv.*": {0: "groups * each * d + kv * d + kv * d"}, "*.attn.out.weight": {1: "groups * each * d"}},
    full={**GROUPED, "heads": 4, "kv": 2}, spaces={**APART, "heads": {"heads": 2}, "kv": {"kv": 1}},
    # as many groups of query heads in all models: with one key head, both groups read it
    derive=lambda sizes: {"groups": 2, "each": sizes["heads"] // 2, "d": sizes["head_dim"]},
    note="heads: with as many key heads; kv: with as many query heads",
)  # fmt: skip

FAMILIES = [
    blocks("nanoGPT by hand", by_hand.GPTAttention, GPT),
    blocks(
        "Annotated Transformer by hand", by_hand.AnnotatedAttention,
        {"*.linears.3.weight": {1: "heads * d"}, "*.linears.3.bias": {}, "*.linears.*": {0: "heads * d"}},
    ),
    blocks(
        "fused head by head by hand", by_hand.InterleavedAttention,
        {"*.qkv.*": {0: "heads * 3 * d"}, "*.attn.out.weight": {1: "heads * d"}},
    ),
    blocks("head width outermost by hand", by_hand.DimFirstAttention, separate("d * heads")),
    blocks(
        "weights per head by hand", by_hand.EinsumAttention,
        {"*.attn.w[qkv]": {0: "heads", 2: "head_dim"}, "*.attn.bq": {0: "heads", 2: "head_dim"},
         "*.attn.wo": {0: "heads", 1: "head_dim"}},
        full={**PLAIN, "head_dim": 8}, spaces=APART,
    ),
    blocks(
        "ALiBi by hand", by_hand.AlibiAttention, separate("heads * head_dim"), full={**PLAIN, "head_dim": 8},
        spaces={**APART, "heads": {"heads": 2}}, note="slopes are those that the smaller model computes",
    ),
    blocks("fused GLU by hand", by_hand.GPTAttention, {**GPT, **GLU}, part=by_hand.FusedGLU),
    blocks(
        "mixture of experts by hand", by_hand.GPTAttention,
        {**GPT, "*.ffn.w1": {2: "2 * inner"}, "*.ffn.w2": {1: "inner"}}, part=by_hand.Experts,
    ),
    blocks(
        "Llama by hand, neighbours paired", rotary_by_hand.Interleaved,
        {"*.w[qk].weight": {0: "heads * pairs * 2"}, "*.wv.weight": {0: "heads * d"},
         "*.attn.wo.weight": {1: "heads * d"}},
        derive=lambda sizes: {"d": sizes["hidden"] // sizes["heads"], "pairs": sizes["hidden"] // sizes["heads"] // 2},
    ),
    blocks(
        "multi-query by hand, fused", rotary_by_hand.MultiQuery,
        {"*.qkv.*": {0: "heads * d + d + d"}, "*.proj.weight": {1: "heads * d"}},
    ),
    llama,
    fused,
    Family(
        "Perceiver by hand", Perceiver, PLAIN, FOLLOWS, vectors,
        {"*.to_q.weight": {0: "heads * d"}, "*.to_kv.weight": {0: "2 * heads * d"},
         "*.to_out.weight": {1: "heads * d"}},
        per_head, package="torch",
    ),
    Family(
        "convolution stem by hand", ConvStem, PLAIN, FOLLOWS, pixels("image"), {**GPT, **GLU}, per_head,
        package="torch",
    ),
]  # fmt: skip
