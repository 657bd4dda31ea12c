"""Decoders with mixtures of experts; DeepSeek's attention has latent keys and values."""

from tests.elastic.zoo.decoders_grouped import (
    APART,
    FIXED_KV,
    NORMED,
    PAIRS,
    SIXES,
    SPACES_APART,
    SPACES_SIXES,
    grouped,
)
from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.from_config import DECODER, from_config, ids

# the experts of torch's grouped products take no float64
SETTINGS = {"max_position_embeddings": 16, "experts_implementation": "eager"}
EXPERTS = {
    "*.experts.gate_up_proj": {1: "2 * inner"},  # linear(x, gate_up[expert]).chunk(2)
    "*.experts.down_proj": {2: "inner"},
}
# of layers without experts, and of shared experts
DENSE = {
    "*.gate_proj.weight": {0: "inner"},
    "*.up_proj.weight": {0: "inner"},
    "*.down_proj.weight": {1: "inner"},
}


def latent(sizes: Sizes) -> Sizes:
    """Of each head's q and k, head_dim units do not rotate and pairs * 2 do, as many in every model."""
    return {"d": sizes["head_dim"], "pairs": 2, "rank": 12}


FAMILIES = [
    Family(
        name="Mixtral",
        build=from_config(
            "MixtralForCausalLM", "MixtralConfig", DECODER, num_local_experts=4, num_experts_per_tok=2, **SETTINGS
        ),
        full=APART,
        spaces=SPACES_APART,
        example=ids,
        layouts={**PAIRS, **EXPERTS},
        derive=grouped(APART["kv"]),
        note=FIXED_KV,
    ),
    Family(
        name="Qwen3-MoE",
        build=from_config(
            "Qwen3MoeForCausalLM",
            "Qwen3MoeConfig",
            {**DECODER, "inner": "moe_intermediate_size intermediate_size"},
            num_experts=4,
            num_experts_per_tok=2,
            norm_topk_prob=True,
            mlp_only_layers=[1],
            **SETTINGS,
        ),
        full=SIXES,
        spaces=SPACES_SIXES,
        example=ids,
        layouts={**NORMED, **EXPERTS, **DENSE},
        derive=grouped(SIXES["kv"]),
        note=FIXED_KV + "; the second layer has no experts",
    ),
    Family(
        name="DeepSeek-V3",
        build=from_config(
            "DeepseekV3ForCausalLM",
            "DeepseekV3Config",
            {
                "hidden": "hidden_size",
                "heads": "num_attention_heads num_key_value_heads",
                "head_dim": "qk_nope_head_dim v_head_dim",
                "inner": "moe_intermediate_size intermediate_size",
                "depth": "num_hidden_layers",
            },
            n_routed_experts=4,
            num_experts_per_tok=2,
            n_group=2,
            topk_group=1,
            n_shared_experts=1,
            first_k_dense_replace=1,
            q_lora_rank=16,
            kv_lora_rank=12,
            qk_rope_head_dim=4,
            **SETTINGS,
        ),
        full={"hidden": 32, "heads": 4, "head_dim": 12, "inner": 48, "depth": 3},
        spaces={
            "hidden": {"hidden": 24},
            "heads": {"heads": 3},
            "head_dim": {"head_dim": 8},
            "inner": {"inner": 40},
            "depth": {"depth": 2},
        },
        example=ids,
        layouts={
            "*.q_b_proj.weight": {0: "heads * (d + pairs * 2)", 1: "qrank"},
            "*.q_a_proj.weight": {0: "qrank"},
            "*.q_a_layernorm.weight": {0: "qrank"},
            "*.kv_a_proj_with_mqa.weight": {0: "rank + pairs * 2"},
            "*.kv_a_layernorm.weight": {0: "rank"},
            "*.kv_b_proj.weight": {0: "heads * (d + d)", 1: "rank"},
            "*.o_proj.weight": {1: "heads * d"},
            **EXPERTS,
            **DENSE,
        },
        derive=lambda sizes: {**latent(sizes), "qrank": 16},
        note="head_dim: of values and of the part of q and k that does not rotate",
    ),
]
