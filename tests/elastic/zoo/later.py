"""Families added after the others, of transformers, of timm and by hand; layouts as read from each forward."""

from functools import partial

import torch
from torch import Tensor, nn

from tests.elastic.zoo import later_by_hand
from tests.elastic.zoo.decoders_grouped import (
    APART,
    FIXED_KV,
    NORMED_ACROSS,
    PAIRS,
    SPACES_APART,
    SPACES_WITHIN,
    WITHIN,
    grouped,
)
from tests.elastic.zoo.decoders_positions import FOLLOWS, FULL, HEADS, SPACES
from tests.elastic.zoo.decoders_rotary import HALF_NORM, HALF_ROTARY, POSITIONS, SPACES_WIDE, WIDE, half_rotates
from tests.elastic.zoo.encoders import BERT
from tests.elastic.zoo.experts import EXPERTS, SETTINGS
from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.from_config import DECODER, IDS, from_config, ids, projections, width_of_a_head
from tests.elastic.zoo.inputs import per_head, pixels, token_ids
from tests.elastic.zoo.swin import both_stages
from tests.elastic.zoo.timm_models import FUSED, ratio
from tests.elastic.zoo.torchvision_ops import importable

XLNET = {"hidden": "d_model", "heads": "n_head", "inner": "d_inner", "depth": "n_layer"}
MAMBA2 = {
    "hidden": "hidden_size",
    "heads": "num_heads",
    "head_dim": "head_dim",
    "expand": "expand",
    "depth": "num_hidden_layers",
}


def quarter_pairs(sizes: Sizes) -> Sizes:
    """Neighbours of the first half of each head are pairs: it is pairs * 2 + rest."""
    derived = grouped(APART["kv"])(sizes)
    pairs = derived["d"] // 4
    return {**derived, "pairs": pairs, "rest": derived["d"] - 2 * pairs}


def neighbours(sizes: Sizes) -> Sizes:
    return {**width_of_a_head(sizes), "pairs": sizes["hidden"] // sizes["heads"] // 2}


def with_waves(sizes: Sizes) -> Sizes:
    return {**width_of_a_head(sizes), "waves": sizes["hidden"] // 2}


def segments(sizes: Sizes) -> dict:
    return {"input_ids": IDS, "token_type_ids": IDS % 2, "use_mems": False}


def without_cache(sizes: Sizes) -> dict:
    return {**ids(sizes), "use_cache": False}


QUARTERS = "(pairs * 2 + rest)"

decoders = [
    Family(
        "BioGPT", from_config("BioGptForCausalLM", "BioGptConfig", DECODER, **POSITIONS), FULL, SPACES, ids, HEADS,
        width_of_a_head, note=FOLLOWS,
    ),
    Family(
        "Persimmon",
        from_config("PersimmonForCausalLM", "PersimmonConfig", DECODER, qk_layernorm=True, **POSITIONS, **HALF_ROTARY),
        WIDE, SPACES_WIDE, ids,
        # _split_heads views (heads, 3, d); the first half of each q and k turns
        {
            "*.query_key_value.*": {0: "heads * (2 * rhalf + rest + 2 * rhalf + rest + d)"},
            "*.self_attn.dense.weight": {1: "heads * d"},
            **HALF_NORM,
        },
        half_rotates, note=FOLLOWS,
    ),
    Family(
        "GLM-4", from_config("Glm4ForCausalLM", "Glm4Config", DECODER, **POSITIONS, **HALF_ROTARY), APART,
        SPACES_APART, ids,
        {
            **projections(f"groups * per * {QUARTERS}", f"kv * {QUARTERS}", "kv * d", "groups * per * d"),
            "*.gate_up_proj.weight": {0: "2 * inner"},
            "*.mlp.down_proj.weight": {1: "inner"},
        },
        quarter_pairs, note=FIXED_KV,
    ),
    Family(
        "SmolLM3",
        from_config("SmolLM3ForCausalLM", "SmolLM3Config", DECODER, no_rope_layer_interval=2, **POSITIONS),
        WITHIN, SPACES_WITHIN, ids,
        # the second layer does not rotate: any units of its heads are right that q and k share, here those of the first
        PAIRS, grouped(WITHIN["kv"]), note=FIXED_KV,
    ),
    Family(
        "OLMoE",
        from_config("OlmoeForCausalLM", "OlmoeConfig", DECODER, num_experts=4, num_experts_per_tok=2, **SETTINGS),
        WITHIN, SPACES_WITHIN, ids, {**NORMED_ACROSS, **EXPERTS}, grouped(WITHIN["kv"]), note=FIXED_KV,
    ),
    Family(
        "XLNet", from_config("XLNetLMHeadModel", "XLNetConfig", XLNET), FULL, SPACES, segments,
        # (hidden, heads, d) everywhere; r reads position features [sines, cosines], not the residual stream
        {
            "*.rel_attn.[qkvo]": {1: "heads", 2: "d"},
            "*.rel_attn.r": {0: "2 * waves", 1: "heads", 2: "d"},
            "*.rel_attn.r_[rsw]_bias": {0: "heads", 1: "d"},
            "*.rel_attn.seg_embed": {1: "heads", 2: "d"},
        },
        with_waves, note=FOLLOWS,
    ),
    Family(
        "Mamba2",
        from_config("Mamba2ForCausalLM", "Mamba2Config", MAMBA2, state_size=5, n_groups=2, chunk_size=4),
        {"hidden": 32, "heads": 8, "head_dim": 8, "expand": 2, "depth": 2},
        {
            "hidden": {"hidden": 24, "head_dim": 6},
            "heads": {"heads": 6, "hidden": 24},
            "inner": {"expand": 1, "heads": 4},
            "depth": {"depth": 1},
        },
        without_cache,
        # gate, states, two groups of B and of C, time steps; heads share B and C in two groups, which have a norm each
        {
            "*.mixer.in_proj.weight": {0: "2 * per * head_dim + 2 * per * head_dim + 20 + 2 * per"},
            "*.mixer.conv1d.*": {0: "2 * per * head_dim + 20"},
            "*.mixer.A_log": {0: "2 * per"},
            "*.mixer.D": {0: "2 * per"},
            "*.mixer.dt_bias": {0: "2 * per"},
            "*.mixer.norm.weight": {0: "2 * per * head_dim"},
            "*.mixer.out_proj.weight": {1: "2 * per * head_dim"},
        },
        lambda sizes: {"per": sizes["heads"] // 2},
        note="hidden: head_dim follows; heads: hidden follows; inner: the factor of hidden, heads follow",
    ),
]  # fmt: skip

roformer = Family(
    "RoFormer",
    from_config("RoFormerForMaskedLM", "RoFormerConfig", embedding_size=20, vocab_size=31, max_position_embeddings=16),
    FULL, SPACES, token_ids,
    # neighbours are pairs; the table of sines and cosines is a frozen parameter, of which the smaller model has a part
    {
        "*.embed_positions.weight": {1: "2 * pairs"},
        **BERT,
        "*.attention.self.query.*": {0: "heads * pairs * 2"},
        "*.attention.self.key.*": {0: "heads * pairs * 2"},
    },
    neighbours, note=FOLLOWS,
)  # fmt: skip

GROUPS = "q_groups k_groups v_groups intermediate_groups output_groups"

# Convolutions of two groups read the halves of the residual stream, so that it is 2 * channels wherever it is read
# or written; the first group writes the first half of the heads.
squeezebert = Family(
    "SqueezeBERT",
    from_config(
        "SqueezeBertForSequenceClassification", "SqueezeBertConfig",
        {**DECODER, "hidden": "hidden_size embedding_size"}, vocab_size=31, max_position_embeddings=16, num_labels=5,
        **dict.fromkeys(GROUPS.split(), 2),
    ),
    FULL, {**SPACES, "heads": {"heads": 2, "hidden": 16}}, token_ids,
    {
        "*embeddings.weight": {1: "2 * channels"},
        "*embeddings.LayerNorm.*": {0: "2 * channels"},
        "*.attention.query.*": {0: "2 * per * d", 1: "channels"},
        "*.attention.key.*": {0: "2 * per * d", 1: "channels"},
        "*.attention.value.*": {0: "2 * per * d", 1: "channels"},
        "*.post_attention.conv1d.*": {0: "2 * channels", 1: "2 * per * d"},
        "*.intermediate.conv1d.*": {0: "2 * middle", 1: "channels"},
        "*.output.conv1d.*": {0: "2 * channels", 1: "middle"},
        "*.layernorm.*": {0: "2 * channels"},
        "*.pooler.dense.weight": {1: "2 * channels"},
    },
    lambda sizes: {"channels": sizes["hidden"] // 2, "per": sizes["heads"] // 2, "middle": sizes["inner"] // 2,
                   **width_of_a_head(sizes)},
    note=FOLLOWS,
)  # fmt: skip


def segformer(hidden: int, heads: int, ratio: int, depth: int) -> nn.Module:
    return from_config(
        "SegformerForImageClassification", "SegformerConfig", num_channels=1, num_encoder_blocks=2, depths=[depth, 1],
        sr_ratios=[2, 1], hidden_sizes=[hidden, 2 * hidden], patch_sizes=[3, 3], strides=[2, 2], num_labels=5,
        num_attention_heads=[heads, 2 * heads], mlp_ratios=[ratio, ratio],
    )()  # fmt: skip


def cait(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    importable()
    from timm.models.cait import Cait

    wider = ratio(inner, hidden)
    return Cait(
        img_size=16, patch_size=8, in_chans=1, num_classes=5, embed_dim=hidden, depth=depth, num_heads=heads,
        mlp_ratio=wider, init_values=0.5, depth_token_only=1, mlp_ratio_token_only=wider,
    )  # fmt: skip


def xcit(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    importable()
    from timm.models.xcit import Xcit

    return Xcit(
        img_size=16, patch_size=8, in_chans=1, num_classes=5, embed_dim=hidden, depth=depth, num_heads=heads,
        mlp_ratio=ratio(inner, hidden), cls_attn_layers=1,
    )  # fmt: skip


def pit(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    importable()
    from timm.models.pit import PoolingVisionTransformer

    return PoolingVisionTransformer(
        img_size=16, patch_size=4, stride=4, in_chans=1, num_classes=5, base_dims=(hidden // heads,) * 2,
        depth=(depth, 1), heads=(heads, 2 * heads), mlp_ratio=ratio(inner, hidden),
    )  # fmt: skip


def stage(prefix: str, heads: str, stream: str) -> dict[str, dict[int, str]]:
    return {
        f"{prefix}.blocks.*.attn.qkv.*": {0: f"3 * {heads} * d", 1: stream},
        f"{prefix}.blocks.*.attn.proj.*": {0: stream, 1: f"{heads} * d"},
        f"{prefix}.blocks.*.fc1.weight": {1: stream},
        f"{prefix}.blocks.*.fc2.*": {0: stream},
        f"{prefix}.blocks.*.norm*": {0: stream},
    }


CLASS_ATTENTION = {**FUSED, "*.attn.[qkv].*": {0: "heads * d"}}
SPACES_36 = {**SPACES, "hidden": {"hidden": 36}, "heads": {"heads": 3, "hidden": 36}}

images = [
    Family(
        "SegFormer", segformer, {"hidden": 32, "heads": 4, "ratio": 3, "depth": 2}, {**SPACES, "inner": {"ratio": 2}},
        pixels(),
        {
            "*.stages.0.*.[qkv]_proj.*": {0: "heads * d"},
            "*.stages.0.*.o_proj.weight": {1: "heads * d"},
            "*.stages.1.*.[qkv]_proj.*": {0: "twice * d"},
            "*.stages.1.*.o_proj.weight": {1: "twice * d"},
        },
        both_stages, note="depth: of the first stage; inner: a multiple of hidden in both",
    ),
    Family(
        "timm CaiT", cait, FULL, SPACES, pixels("x"),
        # a linear layer mixes the heads' scores, another their weights
        {**CLASS_ATTENTION, "*.attn.proj_[lw].*": {0: "heads", 1: "heads"}}, per_head, package="timm",
    ),
    Family(
        "timm XCiT", xcit, {**FULL, "hidden": 48}, SPACES_36, pixels("x"),
        {**CLASS_ATTENTION, "*.attn.temperature": {0: "heads"}}, per_head, package="timm",
    ),
    Family(
        "timm PiT", pit, FULL, SPACES, pixels("x"),
        # the depthwise pooling makes channels 2 c and 2 c + 1 of the second stage from channel c of the first
        {
            "pos_embed": {1: "hidden"},
            "cls_token": {2: "hidden"},
            "patch_embed.conv.*": {0: "hidden"},
            **stage("transformers.0", "heads", "hidden"),
            "transformers.1.pool.conv.*": {0: "hidden * 2"},
            "transformers.1.pool.fc.*": {0: "hidden * 2", 1: "hidden"},
            **stage("transformers.1", "twice", "hidden * 2"),
            "norm.*": {0: "hidden * 2"},
            "head.weight": {1: "hidden * 2"},
        },
        both_stages, package="timm", note="depth and inner: of the first stage, inner doubled in the second",
    ),
]  # fmt: skip


def words(sizes: Sizes) -> dict[str, Tensor]:
    return {"ids": IDS}


def both(sizes: Sizes) -> dict[str, Tensor]:
    return {"ids": IDS, "sound": (torch.arange(2 * 9 * 7, dtype=torch.float64) * 0.37).sin().reshape(2, 9, 7)}


WHOLE = {"hidden": 32, "heads": 4, "head_dim": 6, "inner": 40, "depth": 2}
FEWER = {"hidden": 24, "heads": 3, "head_dim": 4, "inner": 28, "depth": 1}


def sized(*names: str) -> dict[str, dict]:
    """Full sizes and spaces of these names."""
    return {"full": {name: WHOLE[name] for name in names}, "spaces": {name: {name: FEWER[name]} for name in names}}


by_hand = [
    Family(
        "talking heads by hand", partial(later_by_hand.Stack, later_by_hand.TalkingHeads), example=words,
        layouts={
            "*.w[qkv]": {1: "heads", 2: "head_dim"},
            "*.before": {0: "heads", 1: "heads"},
            "*.after": {0: "heads", 1: "heads"},
            "*.wo": {0: "heads", 1: "head_dim"},
        },
        package="torch", **sized("hidden", "heads", "head_dim", "depth"),
    ),
    Family(
        "gated attention unit by hand", partial(later_by_hand.Stack, later_by_hand.GatedUnit), example=words,
        layouts={"*.to_hidden.*": {0: "2 * inner"}, "*.to_out.weight": {1: "inner"}},
        package="torch", **sized("hidden", "inner", "head_dim", "depth"),
    ),
    Family(
        "parallel attention in one projection by hand", partial(later_by_hand.Stack, later_by_hand.Parallel),
        example=words,
        layouts={
            "*.wide.weight": {0: "heads * head_dim + head_dim + head_dim + 2 * inner"},
            "*.narrow.weight": {1: "heads * head_dim + inner"},
        },
        package="torch", **sized("hidden", "heads", "head_dim", "inner", "depth"),
    ),
    Family(
        "two streams by hand", later_by_hand.TwoStreams, example=both,
        layouts={
            "words.weight": {1: "hidden"},
            "sounds.*": {0: "side"},
            "across.*.norm.*": {0: "hidden"},
            "across.*.query.*": {0: "heads * head_dim", 1: "hidden"},
            "across.*.key_value.*": {0: "heads * 2 * head_dim", 1: "side"},
            "across.*.merge.*": {0: "hidden", 1: "heads * head_dim"},
            "back.*.norm.*": {0: "side"},
            "back.*.query.*": {0: "heads * head_dim", 1: "side"},
            "back.*.key_value.*": {0: "heads * 2 * head_dim", 1: "hidden"},
            "back.*.merge.*": {0: "side", 1: "heads * head_dim"},
            "up.*.weight": {1: "hidden"},
            "down.*": {0: "hidden"},
            "score.weight": {1: "hidden + side"},
        },
        derive=lambda sizes: {"side": sizes["hidden"] // 2}, package="torch",
        **sized("hidden", "heads", "head_dim", "inner", "depth"),
    ),
]  # fmt: skip

FAMILIES = [*decoders, roformer, squeezebert, *images, *by_hand]
