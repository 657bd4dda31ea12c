"""Encoders of sound in transformers."""

import torch

from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.from_config import from_config
from tests.elastic.zoo.inputs import per_head

ATTENTION = {
    "*.attention.[qkv]_proj.*": {0: "heads * d"},
    "*.attention.out_proj.weight": {1: "heads * d"},
}

# A grouped convolution over the residual stream reads its first channels in the first group and its second half in
# the second, so that the stream itself has the layout (2, channels), in every tensor that writes or reads it.
STREAM = {
    "*.attention.[qkv]_proj.weight": {0: "heads * d", 1: "2 * channels"},
    "*.attention.[qkv]_proj.bias": {0: "heads * d"},
    "*.attention.out_proj.weight": {0: "2 * channels", 1: "heads * d"},
    "*.attention.out_proj.bias": {0: "2 * channels"},
    "*.feature_projection.projection.*": {0: "2 * channels"},
    "*.feature_*": {},
    "*.masked_spec_embed": {0: "2 * channels"},
    "projector.weight": {1: "2 * channels"},
    "*.conv.bias": {0: "2 * channels"},
    "*.conv.parametrizations.weight.original1": {0: "2 * channels", 1: "channels"},
    "*layer_norm.*": {0: "2 * channels"},
    "*.intermediate_dense.weight": {1: "2 * channels"},
    "*.output_dense.*": {0: "2 * channels"},
}


def sizes_per_head(sizes: Sizes) -> Sizes:
    return {**per_head(sizes), "channels": sizes["hidden"] // 2}


def sound(sizes: Sizes) -> dict[str, torch.Tensor]:
    return {"input_values": (torch.arange(128, dtype=torch.float64) * 0.7).sin().reshape(2, 64)}


def wav2vec2(name: str, groups: int, layouts: dict[str, dict[int, str]]) -> Family:
    return Family(
        name=name,
        build=from_config(
            "Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", conv_dim=(16, 16), conv_kernel=(4, 3),
            conv_stride=(2, 2), num_feat_extract_layers=2, num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=groups, classifier_proj_size=8, num_labels=5, vocab_size=31,
        ),
        full={"hidden": 32, "heads": 4, "inner": 48, "depth": 2},
        spaces={
            "hidden": {"hidden": 24},
            "heads": {"heads": 3, "hidden": 24},
            "inner": {"inner": 36},
            "depth": {"depth": 1},
        },
        example=sound,
        layouts=layouts,
        derive=sizes_per_head,
    )  # fmt: skip


FAMILIES = [
    wav2vec2("Wav2Vec2", 1, ATTENTION),
    wav2vec2("Wav2Vec2 with grouped positions", 2, STREAM),
]
