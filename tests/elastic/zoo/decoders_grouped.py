"""Decoders like Llama: separate q, k, v, half-split rotary embeddings, key groups; head_dim apart from hidden or not.

Rows of q are ``groups * per * d``: a group of queries reads one key head. ``groups`` is the number of key heads of the
full model in every model, so that all queries stay when only ``kv`` shrinks, and each group loses its last queries when
only ``heads`` shrinks. Under half-split rotary embeddings, d is ``2 * half`` in q and k.
"""

from collections.abc import Callable
from typing import Any

from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.from_config import DECODER, from_config, ids, projections

PAIRS = projections("groups * per * 2 * half", "kv * 2 * half", "kv * d", "groups * per * d")
FIXED_KV = "heads: kv stays; kv: heads stay"

# head_dim in the configuration: hidden and heads change by themselves
APART = {"hidden": 32, "heads": 4, "kv": 2, "head_dim": 12, "inner": 48, "depth": 2}
SPACES_APART = {
    "hidden": {"hidden": 24},
    "heads": {"heads": 2},
    "head_dim": {"head_dim": 8},
    "kv": {"kv": 1},
    "inner": {"inner": 40},
    "depth": {"depth": 1},
}

# head_dim is hidden / heads
WITHIN = {"hidden": 48, "heads": 6, "kv": 2, "inner": 56, "depth": 2}
SPACES_WITHIN = {
    "hidden": {"hidden": 24},
    "heads": {"heads": 4, "hidden": 32},
    "kv": {"kv": 1},
    "inner": {"inner": 40},
    "depth": {"depth": 1},
}


def grouped(groups: int) -> Callable[[Sizes], Sizes]:
    """Sizes of grouped queries in a model that has ``groups`` key heads at its largest."""

    def derive(sizes: Sizes) -> Sizes:
        d = sizes.get("head_dim") or sizes["hidden"] // sizes["heads"]
        return {"groups": groups, "per": sizes["heads"] // groups, "d": d, "half": d // 2}

    return derive


def llama(name: str, model: str, layouts: Any = PAIRS, full: Sizes = APART, spaces: Any = None, **fixed: Any) -> Family:
    config = "Gemma3TextConfig" if model == "Gemma3" else f"{model}Config"
    return Family(
        name=name,
        build=from_config(f"{model}ForCausalLM", config, DECODER, max_position_embeddings=16, **fixed),
        full=full,
        spaces=spaces or (SPACES_APART if full is APART else SPACES_WITHIN),
        example=ids,
        layouts=layouts,
        derive=grouped(full["kv"]),
        note=FIXED_KV,
    )


# norms over head_dim follow the rows of q and k, which they scale
NORMED = {**PAIRS, "*.q_norm.weight": {0: "2 * half"}, "*.k_norm.weight": {0: "2 * half"}}
# OLMo2 takes the norm of all heads at once, before they are split
NORMED_ACROSS = {
    **PAIRS,
    "*.q_norm.weight": {0: "groups * per * 2 * half"},
    "*.k_norm.weight": {0: "kv * 2 * half"},
}
MANY = {**APART, "heads": 8, "kv": 4, "head_dim": 8}
SPACES_MANY = {**SPACES_APART, "heads": {"heads": 4}, "kv": {"kv": 2}, "head_dim": {"head_dim": 6}}
SIXES = {**APART, "hidden": 48, "heads": 6, "head_dim": 12, "inner": 56}
SPACES_SIXES = {**SPACES_APART, "heads": {"heads": 4}}
SCALED = {"embedding_multiplier": 2.0, "attention_multiplier": 0.3, "residual_multiplier": 0.7, "logits_scaling": 3.0}

FAMILIES = [
    llama("Llama", "Llama"),
    llama("Llama, head_dim follows hidden", "Llama", full=WITHIN),
    llama("Mistral", "Mistral", full=MANY, spaces=SPACES_MANY, sliding_window=4),
    llama("Qwen2", "Qwen2", full=WITHIN),
    llama("Qwen3", "Qwen3", NORMED, full=SIXES, spaces=SPACES_SIXES),
    llama("Gemma", "Gemma"),
    llama("Gemma 2", "Gemma2", sliding_window=3, query_pre_attn_scalar=8),
    llama("Gemma 3", "Gemma3", NORMED, full=SIXES, spaces=SPACES_SIXES, sliding_window=3, query_pre_attn_scalar=8),
    llama("OLMo 2", "Olmo2", NORMED_ACROSS, full=WITHIN),
    llama("Granite", "Granite", full=WITHIN, **SCALED),
    llama("StarCoder2", "Starcoder2", full=WITHIN, sliding_window=4),
]
