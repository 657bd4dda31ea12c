"""The latest families, of transformers, timm, lucidrains and by hand, unlike those before; layouts as in forward."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from tests.elastic.zoo import later_by_hand, latest_by_hand
from tests.elastic.zoo.decoders_grouped import APART, FIXED_KV, PAIRS, SPACES_APART, SPACES_WITHIN, WITHIN, grouped
from tests.elastic.zoo.decoders_positions import FOLLOWS
from tests.elastic.zoo.decoders_rotary import HALF_ROTARY
from tests.elastic.zoo.experts import SETTINGS
from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.from_config import DECODER, IDS, from_config, ids, projections
from tests.elastic.zoo.inputs import per_head, pixels, token_ids
from tests.elastic.zoo.later import sized, words
from tests.elastic.zoo.lucidrains import FULL, SPACES
from tests.elastic.zoo.timm_models import FUSED, ratio
from tests.elastic.zoo.torchvision_ops import importable


def dbrx(hidden: int, heads: int, kv: int, inner: int, depth: int) -> nn.Module:
    return from_config(
        "DbrxForCausalLM", "DbrxConfig", d_model=hidden, n_heads=heads, n_layers=depth, max_seq_len=16,
        attn_config={"kv_n_heads": kv, "clip_qkv": 2.0, "rope_theta": 10000.0},
        ffn_config={"ffn_hidden_size": inner, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": hidden},
    )()  # fmt: skip


def qwen3_next(depth: int, **sizes: int) -> nn.Module:
    """Layers alternate between a gated delta net of fixed heads and attention."""
    return from_config(
        "Qwen3NextForCausalLM", "Qwen3NextConfig", DECODER, num_hidden_layers=depth, num_experts=0,
        layer_types=["linear_attention", "full_attention"] * (depth // 2), linear_key_head_dim=6,
        linear_value_head_dim=5, linear_num_key_heads=2, linear_num_value_heads=4, max_position_embeddings=16,
        use_cache=False, **HALF_ROTARY,
    )(**sizes)  # fmt: skip


def quarters(sizes: Sizes) -> Sizes:
    """The first half of each head turns: it is 2 * rhalf + rest."""
    derived = grouped(APART["kv"])(sizes)
    return {**derived, "rhalf": derived["d"] // 4, "rest": derived["d"] - derived["d"] // 2}


def series(sizes: Sizes) -> dict[str, Tensor]:
    return {"past_values": (torch.arange(2 * 16 * 3, dtype=torch.float64) * 0.37).sin().reshape(2, 16, 3)}


HALF = "(2 * rhalf + rest)"
MOBILE = {**DECODER, "bottleneck": "intra_bottleneck_size"}
STREAM = "16 + more"  # tied scores read embeddings of width 16, a matrix of their own scores the rest of hidden
PATCH = {"hidden": "d_model", "heads": "num_attention_heads", "inner": "ffn_dim", "depth": "num_hidden_layers"}
AS_A_WHOLE = {"hidden": 32, "heads": 4, "inner": 48, "depth": 2}
SPACES_AS_A_WHOLE = {
    "hidden": {"hidden": 24},
    "heads": {"heads": 3, "hidden": 24},
    "inner": {"inner": 40},
    "depth": {"depth": 1},
}

of_transformers = [
    Family(
        "GPT-OSS",
        from_config(
            "GptOssForCausalLM", "GptOssConfig", DECODER, num_local_experts=4, num_experts_per_tok=2,
            sliding_window=3, **SETTINGS,
        ),
        APART, SPACES_APART, ids,
        # gate and up are neighbours; a score of each head that all positions compete with
        {
            **PAIRS,
            "*.experts.gate_up_proj": {2: "inner * 2"},
            "*.experts.gate_up_proj_bias": {1: "inner * 2"},
            "*.experts.down_proj": {1: "inner"},
            "*.sinks": {0: "groups * per"},
        },
        grouped(APART["kv"]), note=FIXED_KV,
    ),
    Family(
        "DBRX", dbrx, WITHIN, SPACES_WITHIN, ids,
        # q, k, v; the rows of all experts are one dimension
        {
            "*.Wqkv.weight": {0: "groups * per * 2 * half + kv * 2 * half + kv * d"},
            "*.attn.out_proj.weight": {1: "groups * per * d"},
            "*.experts.mlp.*": {0: "4 * inner"},
        },
        grouped(WITHIN["kv"]), note=FIXED_KV,
    ),
    Family(
        "Qwen3-Next", qwen3_next, {**APART, "depth": 4}, {**SPACES_APART, "depth": {"depth": 2}}, ids,
        # view(heads, 2 d), then chunk(2): a query and its gate
        {
            **projections(f"groups * per * ({HALF} + d)", f"kv * {HALF}", "kv * d", "groups * per * d"),
            "*.self_attn.[qk]_norm.weight": {0: HALF},
        },
        quarters, note=FIXED_KV,
    ),
    Family(
        "MobileBERT",
        from_config(
            "MobileBertForMaskedLM", "MobileBertConfig", MOBILE, embedding_size=16, num_feedforward_networks=2,
            max_position_embeddings=16,
        ),
        {"hidden": 48, "heads": 4, "bottleneck": 32, "inner": 40, "depth": 2},
        {
            "hidden": {"hidden": 36},
            "heads": {"heads": 3, "bottleneck": 24},
            "head_dim": {"bottleneck": 24},
            "inner": {"inner": 28},
            "depth": {"depth": 1},
        },
        token_ids,
        {
            "*.position_embeddings.weight": {1: STREAM},
            "*.token_type_embeddings.weight": {1: STREAM},
            "*.embedding_transformation.*": {0: STREAM},
            "*.embeddings.LayerNorm.*": {0: STREAM},
            "*.attention.self.value.*": {0: "heads * d", 1: STREAM},
            "*.attention.self.*": {0: "heads * d"},
            "*.attention.output.dense.weight": {1: "heads * d"},
            "*.output.bottleneck.*": {0: STREAM},
            "*.bottleneck.*.dense.weight": {1: STREAM},
            "*.transform.dense.*": {0: STREAM, 1: STREAM},
            "*.transform.LayerNorm.*": {0: STREAM},
            "*.predictions.dense.weight": {0: "more"},
        },
        lambda sizes: {"more": sizes["hidden"] - 16, "d": sizes["bottleneck"] // sizes["heads"]},
        note="heads and head_dim: the bottleneck follows",
    ),
    Family(
        "PatchTST",
        from_config(
            "PatchTSTForClassification", "PatchTSTConfig", PATCH, num_input_channels=3, context_length=16,
            patch_length=4, patch_stride=4, num_targets=5, channel_attention=True, positional_encoding_type="random",
            use_cls_token=True,
        ),
        AS_A_WHOLE, SPACES_AS_A_WHOLE, series,
        # the head reads all channels side by side
        {
            "*.input_embedding.*": {0: "hidden"},
            "*.cls_token": {3: "hidden"},
            "*.position_enc": {1: "hidden"},
            "*.[qkv]_proj.*": {0: "heads * d", 1: "hidden"},
            "*.out_proj.*": {0: "hidden", 1: "heads * d"},
            "*.batchnorm.*": {0: "hidden"},
            "*.ff.0.weight": {1: "hidden"},
            "*.ff.3.*": {0: "hidden"},
            "head.linear.weight": {1: "3 * hidden"},
        },
        per_head, note=FOLLOWS,
    ),
]  # fmt: skip


def convit(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    importable()
    from timm.models.convit import ConVit

    return ConVit(
        img_size=16, patch_size=8, in_chans=1, num_classes=5, embed_dim=hidden // heads, num_heads=heads, depth=depth,
        mlp_ratio=ratio(inner, hidden), local_up_to_layer=1,
    )  # fmt: skip


def gmlp(hidden: int, inner: int, depth: int) -> nn.Module:
    importable()
    from timm.layers import GatedMlp
    from timm.models.mlp_mixer import MlpMixer, SpatialGatingBlock

    return MlpMixer(
        img_size=16, patch_size=4, in_chans=1, num_classes=5, num_blocks=depth, embed_dim=hidden,
        mlp_ratio=ratio(inner, hidden), block_layer=SpatialGatingBlock, mlp_layer=GatedMlp,
    )  # fmt: skip


def lucidrains_vit(module: str, model: str) -> Callable[..., nn.Module]:
    def build(hidden: int, heads: int, head_dim: int, inner: int, depth: int) -> nn.Module:
        importable()
        from importlib import import_module

        return getattr(import_module(f"vit_pytorch.{module}"), model)(
            image_size=16, patch_size=8, num_classes=5, channels=1, dim=hidden, depth=depth, heads=heads,
            mlp_dim=inner, dim_head=head_dim,
        )  # fmt: skip

    return build


def encoder(hidden: int, heads: int, head_dim: int, inner: int, depth: int) -> nn.Module:
    importable()
    from x_transformers import Encoder, TransformerWrapper

    return TransformerWrapper(
        num_tokens=31, max_seq_len=16,
        attn_layers=Encoder(
            dim=hidden, depth=depth, heads=heads, attn_dim_head=head_dim, ff_mult=inner / hidden, attn_num_mem_kv=2,
            attn_head_scale=True, attn_gate_values=True, attn_qk_norm=True, attn_qk_norm_dim_scale=True,
            rel_pos_bias=True, sandwich_norm=True, scale_residual=True, verbose=False,
        ),
    )  # fmt: skip


LUCID = {"*.to_qkv.weight": {0: "3 * heads * head_dim"}, "*.to_out*.weight": {1: "heads * head_dim"}}

of_others = [
    Family(
        "timm ConViT", convit, AS_A_WHOLE, {**SPACES_AS_A_WHOLE, "inner": {"inner": 36}}, pixels("x"),
        # the first layer gates between positions and patches; the class token joins before the second
        {
            **FUSED,
            "*.attn.qk.*": {0: "2 * heads * d"},
            "*.attn.v.*": {0: "heads * d"},
            "*.attn.pos_proj.*": {0: "heads"},
            "*.attn.gating_param": {0: "heads"},
        },
        per_head, package="timm", note=FOLLOWS,
    ),
    Family(
        "timm gMLP", gmlp, {"hidden": 32, "inner": 48, "depth": 2},
        {"hidden": {"hidden": 24}, "inner": {"inner": 36}, "depth": {"depth": 1}}, pixels("x"),
        {
            "*.fc1.*": {0: "2 * gated"},
            "*.gate.norm.*": {0: "gated"},
            "*.fc2.weight": {1: "gated"},
        },
        lambda sizes: {"gated": sizes["inner"] // 2}, package="timm",
    ),
    Family(
        "vit-pytorch DeepViT", lucidrains_vit("deepvit", "DeepViT"), FULL, SPACES, pixels("img"),
        {**LUCID, "*.reattn_weights": {0: "heads", 1: "heads"}, "*.reattn_norm.*": {0: "heads"}},
        package="vit_pytorch",
    ),
    Family(
        "vit-pytorch SimpleViT with normed queries and keys",
        lucidrains_vit("simple_vit_with_qk_norm", "SimpleViT"), FULL, SPACES, pixels("img"),
        {**LUCID, "*.[qk]_norm.gamma": {0: "heads", 2: "head_dim"}}, package="vit_pytorch",
    ),
    Family(
        "x-transformers encoder with memories", encoder, FULL, SPACES, lambda sizes: {"x": IDS},
        {
            "*.to_[qkv].weight": {0: "heads * head_dim"},
            "*.to_v_gate.weight": {0: "heads * head_dim"},
            "*.to_out.weight": {1: "heads * head_dim"},
            "*.qk_norm_[qk]_scale": {0: "heads", 2: "head_dim"},
            "*.head_scale_params": {1: "heads"},
            "*.mem_[kv]": {0: "heads", 2: "head_dim"},
            "*.relative_attention_bias.weight": {1: "heads"},
        },
        package="x_transformers",
    ),
]  # fmt: skip


def with_memory(sizes: Sizes) -> dict[str, Tensor]:
    return {"ids": IDS, "memory": (torch.arange(2 * 9 * 20, dtype=torch.float64) * 0.37).sin().reshape(2, 9, 20)}


GROUPED = {"hidden": 32, "heads": 4, "kv": 2, "head_dim": 6, "inner": 40, "depth": 2}
CHANNELS = "4 * channels"

by_hand = [
    Family(
        "one parameter for q, k and v by hand", latest_by_hand.Scaled, example=words,
        layouts={
            "*.qkv": {0: "heads", 2: "head_dim"},
            "*.[qk]_gain": {0: "heads", 1: "head_dim"},
            "*.temperature": {0: "heads"},
            "attentions.*.out": {0: "heads", 1: "head_dim"},
        },
        output=lambda output: output["logits"], package="torch",
        **sized("hidden", "heads", "head_dim", "inner", "depth"),
    ),
    Family(
        "lists of parameters by hand", latest_by_hand.Lists, GROUPED,
        {
            "hidden": {"hidden": 24},
            "heads": {"heads": 2},
            "head_dim": {"head_dim": 4},
            "kv": {"kv": 1},
            "inner": {"inner": 28},
            "depth": {"depth": 1},
        },
        words,
        {
            "wq.*": {1: "groups * per * d"},
            "w[kv].*": {1: "kv * d"},
            "wo.*": {0: "groups * per * d"},
            "up.*": {1: "inner * 2"},
            "down.*": {0: "inner"},
        },
        grouped(GROUPED["kv"]), output=lambda output: output.scores, package="torch", note=FIXED_KV,
    ),
    Family(
        "tied projection and a memory by hand", latest_by_hand.TiedProjection, AS_A_WHOLE, SPACES_AS_A_WHOLE,
        with_memory,
        {
            "*.[qkv]_proj_weight": {0: "heads * d"},
            "*.in_proj_*": {0: "3 * heads * d"},
            "*.out_proj.weight": {1: "heads * d"},
        },
        per_head, package="torch", note=FOLLOWS,
    ),
    Family(
        "channels first with group norms by hand", latest_by_hand.ChannelsFirst,
        {"hidden": 32, "inner": 40, "depth": 2},
        {"hidden": {"hidden": 24}, "inner": {"inner": 28}, "depth": {"depth": 1}}, pixels("image"),
        # each of four norm groups loses channels; the head reads four places of each channel
        {
            "stem.*": {0: CHANNELS},
            "*.norm[12].*": {0: CHANNELS},
            "*.wide.*": {0: "2 * inner", 1: CHANNELS},
            "*.narrow.*": {0: CHANNELS, 1: "inner"},
            "scale": {1: CHANNELS},
            "head.weight": {1: f"({CHANNELS}) * 4"},
        },
        lambda sizes: {"channels": sizes["hidden"] // 4}, package="torch",
    ),
    Family(
        "heads of two kinds by hand",
        partial(later_by_hand.Stack, latest_by_hand.TwoKinds), example=words,
        layouts={
            "*.to_[qkv].*": {0: "(heads + 2) * head_dim"},
            "*.gate.*": {0: "heads + 2"},
            "*.merge.weight": {1: "(heads + 2) * head_dim"},
        },
        package="torch", **sized("hidden", "heads", "head_dim", "depth"),
    ),
    Family(
        "adapters by hand", latest_by_hand.Adapted, example=words,
        layouts={
            "*.[qv].base.*": {0: "heads * head_dim"},
            "*.[qv].up.weight": {0: "heads * head_dim"},
            "*.k.*": {0: "heads * head_dim"},
            "*.o.weight": {1: "heads * head_dim"},
        },
        package="torch", **sized("hidden", "heads", "head_dim", "inner", "depth"),
    ),
]  # fmt: skip

FAMILIES = [*of_transformers, *of_others, *by_hand]
