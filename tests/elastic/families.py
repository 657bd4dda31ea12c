"""Models of known families, and by hand which units of the full weights a small one has."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elasticnas import Space


class Tied(Space):
    """Hidden follows the heads: heads keep their width of 8."""

    heads: Literal[4, 2, 1]
    inner: Literal[48, 24]
    depth: Literal[3, 2, 1]

    @property
    def hidden(self) -> int:
        return 8 * self.heads


class Grouped(Space):
    """Heads of width 8, apart from hidden; two key-value heads."""

    hidden: Literal[32, 16]
    heads: Literal[8, 4, 2]
    inner: Literal[48, 24]
    depth: Literal[3, 2, 1]


class Cut(Space):
    """Four heads at any hidden size: their width changes."""

    hidden: Literal[32, 24, 16]
    inner: Literal[48, 24]
    depth: Literal[2, 1]


def encoder(hidden: int, inner: int, depth: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(hidden, 4, inner, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)


def gpt2(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=31, n_positions=16, n_embd=hidden, n_head=heads, n_inner=inner, n_layer=depth, attn_pdrop=0.0,
            embd_pdrop=0.0, resid_pdrop=0.0, bos_token_id=0, eos_token_id=0,
        )
    )  # fmt: skip


def bert(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    from transformers import BertConfig, BertModel

    return BertModel(
        BertConfig(
            vocab_size=31, hidden_size=hidden, num_attention_heads=heads, intermediate_size=inner,
            num_hidden_layers=depth, max_position_embeddings=16,
        )
    )  # fmt: skip


def vit(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    from transformers import ViTConfig, ViTModel

    return ViTModel(
        ViTConfig(
            hidden_size=hidden, num_attention_heads=heads, intermediate_size=inner, num_hidden_layers=depth,
            image_size=16, patch_size=8, num_channels=1,
        )
    )  # fmt: skip


def llama(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=31, hidden_size=hidden, num_attention_heads=heads, num_key_value_heads=2, head_dim=8,
            intermediate_size=inner, num_hidden_layers=depth, max_position_embeddings=16,
        )
    )  # fmt: skip


def t5(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        T5Config(vocab_size=31, d_model=hidden, num_heads=heads, d_kv=8, d_ff=inner, num_layers=depth, dropout_rate=0.0)
    )


class FusedAttention(nn.Module):
    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, hidden = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, hidden // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, length, hidden))


class SASRec(nn.Module):
    """By hand: fused qkv, tied item scores, a position table, layers in a ModuleList."""

    def __init__(self, hidden: int, inner: int, depth: int, heads: int = 4, items: int = 31, length: int = 16) -> None:
        super().__init__()
        self.items = nn.Embedding(items, hidden, padding_idx=0)
        self.positions = nn.Parameter(0.02 * torch.randn(length, hidden))
        self.layers = nn.ModuleList()
        for _ in range(depth):
            ffn = nn.Sequential(nn.Linear(hidden, inner), nn.GELU(), nn.Linear(inner, hidden))
            norms = nn.ModuleList([nn.LayerNorm(hidden), nn.LayerNorm(hidden)])
            self.layers.append(nn.ModuleDict({"attention": FusedAttention(hidden, heads), "ffn": ffn, "norms": norms}))
        self.score = nn.Linear(hidden, items, bias=False)
        self.score.weight = self.items.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.items(ids) + self.positions[: ids.shape[1]]
        for layer in self.layers:
            x = x + layer["attention"](layer["norms"][0](x))
            x = x + layer["ffn"](layer["norms"][1](x))
        return self.score(x)


class RotaryBlock(nn.Module):
    def __init__(self, hidden: int, heads: int, head_dim: int, inner: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.q, self.k = nn.Linear(hidden, heads * head_dim), nn.Linear(hidden, heads * head_dim)
        self.v, self.o = nn.Linear(hidden, heads * head_dim), nn.Linear(heads * head_dim, hidden)
        self.gate, self.value, self.down = nn.Linear(hidden, inner), nn.Linear(hidden, inner), nn.Linear(inner, hidden)
        self.norm = nn.RMSNorm(hidden)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        def split(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)

        def turn(y: Tensor) -> Tensor:
            a, b = y.chunk(2, -1)
            return y * cos + torch.cat([-b, a], -1) * sin

        h = self.norm(x)
        y = F.scaled_dot_product_attention(turn(split(self.q(h))), turn(split(self.k(h))), split(self.v(h)))
        x = x + self.o(y.transpose(1, 2).flatten(-2))
        return x + self.down(F.silu(self.gate(x)) * self.value(x))


class Rotary(nn.Module):
    """By hand: rotary tables computed from head_dim (one persistent, one not), a gated FFN, head_dim apart."""

    def __init__(self, hidden: int, heads: int, head_dim: int, inner: int, depth: int, length: int = 16) -> None:
        super().__init__()
        self.embed = nn.Linear(5, hidden)
        self.blocks = nn.ModuleList([RotaryBlock(hidden, heads, head_dim, inner) for _ in range(depth)])
        angles = torch.arange(length)[:, None] / 100 ** (torch.arange(0, head_dim, 2) / head_dim)
        self.register_buffer("cos", torch.cat([angles, angles], -1).cos())
        self.register_buffer("sin", torch.cat([angles, angles], -1).sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x, length = self.embed(x), x.shape[1]
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        return x


class Apart(Space):
    hidden: Literal[32, 20]
    heads: Literal[4, 2, 1]
    head_dim: Literal[8, 6, 4]
    inner: Literal[48, 24]
    depth: Literal[2, 1]


SASREC_RULES = {
    "*.qkv.weight": "(3 heads head_dim) hidden",
    "*.qkv.bias": "(3 heads head_dim)",
    "*.attention.out.weight": "hidden (heads head_dim)",
}
ROTARY_RULES = {
    **{f"*.{name}.weight": "(heads 2 half) hidden" for name in "qk"},
    **{f"*.{name}.bias": "(heads 2 half)" for name in "qk"},
    "*.v.weight": "(heads head_dim) hidden",
    "*.v.bias": "(heads head_dim)",
    "*.o.weight": "hidden (heads head_dim)",
}

IDS = torch.tensor([[3, 7, 1, 30, 5], [9, 9, 2, 4, 0]])
PIXELS = torch.linspace(-1, 1, 2 * 16 * 16).reshape(2, 1, 16, 16).double()
VECTORS = torch.linspace(-1, 1, 2 * 6 * 5).reshape(2, 6, 5).double()


def _encoder_input(arch: Any) -> dict[str, Tensor]:
    return {"src": torch.linspace(-1, 1, 2 * 5 * arch.hidden).reshape(2, 5, arch.hidden).double().sin()}


def _per_head(kind: str, arch: Any) -> tuple[int, ...]:
    """Factors of a per-head dimension, written down from each model's own forward pass."""
    return {
        "encoder": lambda: (3, 4, arch.hidden // 4),
        "encoder out": lambda: (4, arch.hidden // 4),
        "heads of 8": lambda: (arch.heads, 8),
        "three heads of 8": lambda: (3, arch.heads, 8),
        "grouped": lambda: (2, arch.heads // 2, 8),
        "keys": lambda: (2, 8),
        "apart": lambda: (arch.heads, arch.head_dim),
        "rotary pairs": lambda: (arch.heads, 2, arch.head_dim // 2),
        "heads": lambda: (arch.heads,),
    }[kind]()


# build, space, rules, inputs, per-head dimensions by the end of a tensor's name
CASES: dict[str, tuple[Any, Any, Any, Any, dict[str, dict[int, str]]]] = {
    "TransformerEncoder": (
        encoder,
        Cut,
        None,
        _encoder_input,
        {"in_proj_weight": {0: "encoder"}, "in_proj_bias": {0: "encoder"}, "out_proj.weight": {1: "encoder out"}},
    ),
    "GPT-2": (
        gpt2,
        Tied,
        None,
        lambda arch: {"input_ids": IDS},
        {
            "c_attn.weight": {1: "three heads of 8"},
            "c_attn.bias": {0: "three heads of 8"},
            "attn.c_proj.weight": {0: "heads of 8"},
        },
    ),
    "BERT": (bert, Tied, None, lambda arch: {"input_ids": IDS}, {}),
    "ViT": (vit, Tied, None, lambda arch: {"pixel_values": PIXELS}, {}),
    "Llama, grouped queries": (
        llama,
        Grouped,
        None,
        lambda arch: {"input_ids": IDS},
        {"q_proj.weight": {0: "grouped"}, "o_proj.weight": {1: "grouped"}},
    ),
    "T5": (t5, Grouped, None, lambda arch: {"input_ids": IDS, "decoder_input_ids": IDS.flip(1)}, {}),
    "SASRec by hand, fused qkv": (
        SASRec,
        Cut,
        SASREC_RULES,
        lambda arch: {"ids": IDS},
        {
            "qkv.weight": {0: "encoder"},
            "qkv.bias": {0: "encoder"},
            "attention.out.weight": {1: "encoder out"},
        },
    ),
    "rotary by hand, gated FFN": (
        Rotary,
        Apart,
        None,
        lambda arch: {"x": VECTORS},
        {
            **{f"{n}.{kind}": {0: "rotary pairs"} for n in "qk" for kind in ("weight", "bias")},
            **{f"v.{kind}": {0: "apart"} for kind in ("weight", "bias")},
            "o.weight": {1: "apart"},
        },
    ),
}


def built(case: str, arch: Any) -> nn.Module:
    """The plain model, as its user would build it."""
    build, space = CASES[case][:2]
    names = [*space.model_fields, *(["hidden"] if space is Tied else [])]
    return build(**{name: getattr(arch, name) for name in names})


def places(case: str, name: str, shape: tuple[int, ...], small: tuple[int, ...], arch: Any) -> Any:
    """Indices of a small model's tensor in the full one."""
    per_head = {dim: partial(_per_head, kind) for dim, kind in of_tensor(CASES[case][4], name).items()}
    return indices(per_head, shape, small, CASES[case][1].largest(), arch)


def of_tensor(table: Mapping[str, Any], name: str) -> Any:
    """The entry of a table for the end of a tensor's name."""
    return next((entry for end, entry in table.items() if f".{name}".endswith(f".{end}")), {})


def indices(
    per_head: Mapping[int, Callable[[Any], tuple[int, ...]]],
    shape: tuple[int, ...],
    small: tuple[int, ...],
    largest: Any,
    arch: Any,
) -> Any:
    """By numpy and by hand: the first units of each dimension, or of each factor of a per-head dimension."""
    found = []
    for dim, (size, units) in enumerate(zip(shape, small, strict=True)):
        every = np.arange(size)
        if dim in per_head:
            grid = every.reshape(per_head[dim](largest))
            every = grid[tuple(slice(0, units) for units in per_head[dim](arch))].reshape(-1)
        found.append(every[:units])
    return np.ix_(*found)
