"""Decoders without rotary embeddings: learned positions, or distances (ALiBi)."""

from tests.elastic.zoo.family import Family
from tests.elastic.zoo.from_config import DECODER, from_config, ids, projections, width_of_a_head

FULL = {"hidden": 32, "heads": 4, "inner": 48, "depth": 2}
SPACES = {
    "hidden": {"hidden": 24},
    "heads": {"heads": 3, "hidden": 24},
    "inner": {"inner": 40},
    "depth": {"depth": 1},
}
FOLLOWS = "hidden follows the heads"

# BLOOM and MPT have an inner size of 4 hidden, whatever the configuration says
NO_INNER = {name: size for name, size in FULL.items() if name != "inner"}
SPACES_NO_INNER = {name: sizes for name, sizes in SPACES.items() if name != "inner"}

GPT = {"hidden": "n_embd", "heads": "n_head", "inner": "n_inner", "depth": "n_layer"}
NEO = {"hidden": "hidden_size", "heads": "num_heads", "inner": "intermediate_size", "depth": "num_layers"}
OPT = {**DECODER, "hidden": "hidden_size word_embed_proj_dim", "inner": "ffn_dim"}
BLOOM = {"hidden": "hidden_size", "heads": "n_head", "depth": "n_layer"}
MPT = {"hidden": "d_model", "heads": "n_heads", "depth": "n_layers"}
FALCON = {**DECODER, "inner": "ffn_hidden_size"}

HEADS = projections("heads * d", "heads * d", "heads * d", "heads * d", out="out_proj")


def build_neo(**sizes: int) -> object:
    """Layers alternate between all positions and the last three, so that depth is even."""
    types = [[["global", "local"], sizes["depth"] // 2]]
    return from_config("GPTNeoForCausalLM", "GPTNeoConfig", NEO, attention_types=types, window_size=3)(**sizes)


FAMILIES = [
    Family(
        name="GPT-2",
        build=from_config("GPT2LMHeadModel", "GPT2Config", GPT, n_positions=16),
        full=FULL,
        spaces=SPACES,
        example=ids,
        # GPT2Attention.forward splits into q, k, v, then views (heads, d); Conv1D weights are (in, out)
        layouts={
            "*.attn.c_attn.weight": {1: "3 * heads * d"},
            "*.attn.c_attn.bias": {0: "3 * heads * d"},
            "*.attn.c_proj.weight": {0: "heads * d"},
        },
        derive=width_of_a_head,
        note=FOLLOWS,
    ),
    Family(
        name="GPT-Neo",
        build=build_neo,
        full={**FULL, "depth": 4},
        spaces={**SPACES, "depth": {"depth": 2}},
        example=ids,
        layouts=HEADS,
        derive=width_of_a_head,
        note=FOLLOWS,
    ),
    Family(
        name="OPT",
        build=from_config("OPTForCausalLM", "OPTConfig", OPT, max_position_embeddings=16),
        full=FULL,
        spaces=SPACES,
        example=ids,
        layouts=HEADS,
        derive=width_of_a_head,
        note=FOLLOWS,
    ),
    Family(
        name="BLOOM",
        build=from_config("BloomForCausalLM", "BloomConfig", BLOOM),
        full=NO_INNER,
        spaces=SPACES_NO_INNER,
        example=ids,
        # _reshape views (heads, 3, d)
        layouts={"*.query_key_value.*": {0: "heads * 3 * d"}, "*.self_attention.dense.weight": {1: "heads * d"}},
        derive=width_of_a_head,
        note=FOLLOWS,
    ),
    Family(
        name="MPT",
        build=from_config("MptForCausalLM", "MptConfig", MPT, max_seq_len=16),
        full=NO_INNER,
        spaces=SPACES_NO_INNER,
        example=ids,
        # chunk(3), then (heads, d)
        layouts={"*.Wqkv.weight": {0: "3 * heads * d"}, "*.attn.out_proj.weight": {1: "heads * d"}},
        derive=width_of_a_head,
        note=FOLLOWS,
    ),
    Family(
        name="Falcon RW (ALiBi)",
        build=from_config(
            "FalconForCausalLM", "FalconConfig", FALCON, alibi=True, multi_query=False, parallel_attn=False, bias=True
        ),
        full=FULL,
        spaces=SPACES,
        example=ids,
        # _split_heads views (heads, 3, d)
        layouts={"*.query_key_value.*": {0: "heads * 3 * d"}, "*.self_attention.dense.weight": {1: "heads * d"}},
        derive=width_of_a_head,
        note=FOLLOWS,
    ),
    Family(
        name="GPTBigCode (multi-query)",
        build=from_config("GPTBigCodeForCausalLM", "GPTBigCodeConfig", GPT, n_positions=16),
        full=FULL,
        spaces=SPACES,
        example=ids,
        # all query heads, then one key head and one value head
        layouts={"*.attn.c_attn.*": {0: "heads * d + d + d"}, "*.attn.c_proj.weight": {1: "heads * d"}},
        derive=width_of_a_head,
        note=FOLLOWS,
    ),
]
