"""Decoders with rotary embeddings in other forms: interleaved, over a part of each head, in fused projections."""

from tests.elastic.zoo.decoders_grouped import FIXED_KV, SPACES_WITHIN, WITHIN, grouped
from tests.elastic.zoo.decoders_positions import FALCON, FOLLOWS, FULL, GPT, SPACES
from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.from_config import DECODER, from_config, ids, projections

POSITIONS = {"max_position_embeddings": 16}
HALF_ROTARY = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}}

# d of 12, cut to 8 with as many heads, so that half of it is a whole number of pairs
WIDE = {"hidden": 48, "heads": 4, "inner": 56, "depth": 2}
SPACES_WIDE = {
    "hidden": {"hidden": 32},
    "heads": {"heads": 2, "hidden": 24},
    "inner": {"inner": 40},
    "depth": {"depth": 1},
}


def first_units_rotate(sizes: Sizes) -> Sizes:
    """GPT-J and CodeGen: rotary_dim units of each head, the same in every model."""
    d = sizes["hidden"] // sizes["heads"]
    return {"d": d, "rot": 4, "rest": d - 4, "shards": 4, "per": sizes["heads"] // 4}


def half_rotates(sizes: Sizes) -> Sizes:
    """The first half of each head: it is 2 * rhalf + rest."""
    d = sizes["hidden"] // sizes["heads"]
    return {"d": d, "rhalf": d // 4, "rest": d - d // 2}


def all_rotates(sizes: Sizes) -> Sizes:
    d = sizes["hidden"] // sizes["heads"]
    return {"d": d, "half": d // 2}


def apart(sizes: Sizes) -> Sizes:
    derived = grouped(2)(sizes)
    return {**derived, "pairs": derived["half"]}


HALF = "heads * (2 * rhalf + rest)"
# the norm of each head's q and k, before they rotate
HALF_NORM = {"*.[qk]_layernorm.*": {0: "2 * rhalf + rest"}}
INTERLEAVED = projections("groups * per * pairs * 2", "kv * pairs * 2", "kv * d", "groups * per * d")

FAMILIES = [
    Family(
        name="GPT-J",
        build=from_config("GPTJForCausalLM", "GPTJConfig", GPT, n_positions=16, rotary_dim=4),
        full=FULL,
        spaces=SPACES,
        example=ids,
        layouts=projections("heads * (rot + rest)", "heads * (rot + rest)", "heads * d", "heads * d", out="out_proj"),
        derive=first_units_rotate,
        note=FOLLOWS,
    ),
    Family(
        name="CodeGen",
        build=from_config("CodeGenForCausalLM", "CodeGenConfig", GPT, n_positions=16, rotary_dim=4),
        full={**FULL, "hidden": 64, "heads": 8},
        spaces={**SPACES, "hidden": {"hidden": 48}, "heads": {"heads": 4, "hidden": 32}},
        example=ids,
        # four shards, each with its q, v, k, in this order; heads go through the shards
        layouts={
            "*.qkv_proj.weight": {0: "shards * (per * (rot + rest) + per * d + per * (rot + rest))"},
            "*.out_proj.weight": {1: "shards * per * d"},
        },
        derive=first_units_rotate,
        note="hidden follows the heads; each of the four shards keeps its first heads",
    ),
    Family(
        name="GPT-NeoX",
        build=from_config("GPTNeoXForCausalLM", "GPTNeoXConfig", DECODER, **POSITIONS, **HALF_ROTARY),
        full=WIDE,
        spaces=SPACES_WIDE,
        example=ids,
        # (heads, 3 d), then chunk(3)
        layouts={
            "*.query_key_value.*": {0: "heads * (2 * rhalf + rest + 2 * rhalf + rest + d)"},
            "*.attention.dense.weight": {1: "heads * d"},
        },
        derive=half_rotates,
        note=FOLLOWS,
    ),
    Family(
        name="Phi",
        build=from_config("PhiForCausalLM", "PhiConfig", DECODER, qk_layernorm=True, **POSITIONS, **HALF_ROTARY),
        full=WIDE,
        spaces=SPACES_WIDE,
        example=ids,
        layouts={**projections(HALF, HALF, "heads * d", "heads * d", out="dense"), **HALF_NORM},
        derive=half_rotates,
        note=FOLLOWS,
    ),
    Family(
        name="StableLM",
        build=from_config(
            "StableLmForCausalLM",
            "StableLmConfig",
            {**DECODER, "heads": "num_attention_heads num_key_value_heads"},
            use_qkv_bias=True,
            qk_layernorm=True,
            **POSITIONS,
            **HALF_ROTARY,
        ),
        full=WIDE,
        spaces=SPACES_WIDE,
        example=ids,
        # a norm for each head, in a list
        layouts={**projections(HALF, HALF, "heads * d", "heads * d"), **HALF_NORM},
        derive=half_rotates,
        note="hidden and kv follow the heads",
    ),
    Family(
        name="Falcon 7B (multi-query)",
        build=from_config("FalconForCausalLM", "FalconConfig", FALCON),
        full=WIDE,
        spaces=SPACES_WIDE,
        example=ids,
        # (heads + 2, d): all query heads, the key head, the value head
        layouts={
            "*.query_key_value.*": {0: "heads * 2 * half + 2 * half + d"},
            "*.self_attention.dense.weight": {1: "heads * d"},
        },
        derive=all_rotates,
        note=FOLLOWS,
    ),
    Family(
        name="Falcon 40B (grouped)",
        build=from_config(
            "FalconForCausalLM", "FalconConfig", {**FALCON, "kv": "num_kv_heads"}, new_decoder_architecture=True
        ),
        full={"hidden": 48, "heads": 6, "kv": 2, "inner": 56, "depth": 2},
        spaces={**SPACES_WITHIN, "kv": {"kv": 1, "heads": 3, "hidden": 24}},
        example=ids,
        # (kv, queries of the group + 2, d)
        layouts={
            "*.query_key_value.*": {0: "kv * (per * 2 * half + 2 * half + d)"},
            "*.self_attention.dense.weight": {1: "kv * per * d"},
        },
        derive=lambda sizes: {**all_rotates(sizes), "per": sizes["heads"] // sizes["kv"]},
        note="heads: kv stays; kv: heads and hidden follow",
    ),
    Family(
        name="Phi-3",
        build=from_config("Phi3ForCausalLM", "Phi3Config", DECODER, original_max_position_embeddings=16, **POSITIONS),
        full=WITHIN,
        spaces=SPACES_WITHIN,
        example=ids,
        # all query heads, all key heads, all value heads; gate and up
        layouts={
            "*.qkv_proj.weight": {0: "groups * per * 2 * half + kv * 2 * half + kv * d"},
            "*.o_proj.weight": {1: "groups * per * d"},
            "*.gate_up_proj.weight": {0: "2 * inner"},
            "*.mlp.down_proj.weight": {1: "inner"},
        },
        derive=grouped(2),
        note=FIXED_KV,
    ),
    Family(
        name="Cohere",
        build=from_config("CohereForCausalLM", "CohereConfig", DECODER, use_qk_norm=True, **POSITIONS),
        full=WITHIN,
        spaces=SPACES_WITHIN,
        example=ids,
        # units 2i and 2i + 1 rotate together; norms of (heads, d)
        layouts={
            **INTERLEAVED,
            "*.q_norm.weight": {0: "groups * per", 1: "pairs * 2"},
            "*.k_norm.weight": {0: "kv", 1: "pairs * 2"},
        },
        derive=apart,
        note=FIXED_KV,
    ),
    Family(
        name="Helium",
        build=from_config("HeliumForCausalLM", "HeliumConfig", DECODER, **POSITIONS),
        full={"hidden": 48, "heads": 6, "kv": 2, "head_dim": 8, "inner": 56, "depth": 2},
        # its output projection is hidden to hidden, so that hidden is heads times head_dim
        spaces={
            "hidden": {"hidden": 24, "head_dim": 4},
            "heads": {"heads": 4, "hidden": 32},
            "kv": {"kv": 1},
            "inner": {"inner": 40},
            "depth": {"depth": 1},
        },
        example=ids,
        layouts=INTERLEAVED,
        derive=apart,
        note="hidden: head_dim follows; heads: hidden follows, kv stays; kv: heads stay",
    ),
]
