"""Encoders of images in transformers; layouts as read from each attention's forward."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.from_config import from_config
from tests.elastic.zoo.inputs import per_head, pixels, token_ids

Layouts = Mapping[str, Mapping[int, str]]

FULL = {"hidden": 32, "heads": 4, "inner": 48, "depth": 2}
SPACES = {
    "hidden": {"hidden": 24},
    "heads": {"heads": 3, "hidden": 24},
    "inner": {"inner": 36},
    "depth": {"depth": 1},
}
SIZES = {"hidden": "hidden_size", "heads": "num_attention_heads", "depth": "num_hidden_layers"}
IMAGE = {"image_size": 16, "patch_size": 8, "num_channels": 1}

# q_proj(x).view(..., heads, d), alike in all attentions of this file
SPLIT = {
    "*attention.q_proj.*": {0: "heads * d"},
    "*attention.k_proj.*": {0: "heads * d"},
    "*attention.v_proj.*": {0: "heads * d"},
    "*attention.o_proj.weight": {1: "heads * d"},
}
CLIP = {
    "*.self_attn.[qkv]_proj.*": {0: "heads * d"},
    "*.self_attn.out_proj.weight": {1: "heads * d"},
}


def masked(sizes: Sizes) -> dict[str, Any]:
    """With the noise that decides which patches are masked."""
    return {**pixels()(sizes), "noise": torch.tensor([[0.1, 0.9, 0.4, 0.3], [0.7, 0.2, 0.8, 0.5]]).double()}


def images(name: str, model: str, config: str, layouts: Layouts = SPLIT, **fixed: Any) -> Family:
    build = from_config(model, config, **IMAGE, **fixed)
    return Family(name, build, FULL, SPACES, pixels(), layouts, per_head)


dinov2 = Family(
    name="DINOv2",
    build=from_config("Dinov2Model", "Dinov2Config", {**SIZES, "ratio": "mlp_ratio"}, **IMAGE),
    full={"hidden": 32, "heads": 4, "ratio": 3, "depth": 2},
    spaces={**SPACES, "inner": {"ratio": 2}},
    example=pixels(),
    layouts=SPLIT,
    derive=per_head,
    note="inner: a multiple of hidden, so that it follows hidden and the heads",
)

swiglu = Family(
    name="DINOv2 with SwiGLU",
    build=from_config("Dinov2Model", "Dinov2Config", {**SIZES, "ratio": "mlp_ratio"}, use_swiglu_ffn=True, **IMAGE),
    full={"hidden": 32, "heads": 4, "ratio": 3, "depth": 2},
    spaces={**SPACES, "inner": {"ratio": 2}},
    example=pixels(),
    layouts=SPLIT,
    derive=per_head,
    note="inner: two thirds of a multiple of hidden, rounded up to a multiple of 8",
)

clip_text = Family(
    name="CLIP text",
    build=from_config("CLIPTextModelWithProjection", "CLIPTextConfig", vocab_size=31, max_position_embeddings=16,
                      projection_dim=16, eos_token_id=30, bos_token_id=0, pad_token_id=1),
    full=FULL,
    spaces=SPACES,
    example=token_ids,
    layouts=CLIP,
    derive=per_head,
)  # fmt: skip


mae = replace(
    images(
        "ViTMAE", "ViTMAEForPreTraining", "ViTMAEConfig", {"decoder.*": {}, **SPLIT}, decoder_hidden_size=16,
        decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=24, mask_ratio=0.5,
    ),
    example=masked,
    output=lambda found: found.logits,
    note="the encoder's sizes; the decoder is fixed",
)  # fmt: skip

siglip = replace(
    images(
        "SigLIP vision", "SiglipVisionModel", "SiglipVisionConfig",
        {
            **CLIP,
            # the pooling head is torch's own attention
            "head.attention.in_proj_*": {0: "3 * heads * d"},
            "head.attention.out_proj.weight": {1: "heads * d"},
        },
    ),
    output=lambda found: found.pooler_output,
)  # fmt: skip

FAMILIES = [
    images("ViT", "ViTForImageClassification", "ViTConfig", num_labels=5),
    images("DeiT", "DeiTForImageClassificationWithTeacher", "DeiTConfig", num_labels=5),
    images(
        "BEiT", "BeitModel", "BeitConfig", {**SPLIT, "*.relative_position_bias_table": {1: "heads"}},
        use_relative_position_bias=True, layer_scale_init_value=0.5,
    ),
    images("CLIP vision", "CLIPVisionModelWithProjection", "CLIPVisionConfig", CLIP, projection_dim=16),
    mae,
    siglip,
    dinov2,
    swiglu,
    clip_text,
]  # fmt: skip
