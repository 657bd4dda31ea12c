"""Models of timm; layouts as read from each attention's forward."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from tests.elastic.zoo.family import Family
from tests.elastic.zoo.inputs import per_head, pixels
from tests.elastic.zoo.torchvision_ops import importable

FULL = {"hidden": 32, "heads": 4, "inner": 48, "depth": 2}
SPACES = {
    "hidden": {"hidden": 24},
    "heads": {"heads": 3, "hidden": 24},
    "inner": {"inner": 36},
    "depth": {"depth": 1},
}

# qkv(x).reshape(B, N, 3, heads, d)
FUSED = {
    "*.attn.qkv.*": {0: "3 * heads * d"},
    "*.attn.proj.weight": {1: "heads * d"},
}


def ratio(inner: int, hidden: int) -> float:
    """The ratio that timm multiplies by hidden and rounds down."""
    found = inner / hidden
    assert int(hidden * found) == inner
    return found


def plain(module: str, model: str, **fixed: Any) -> Callable[..., nn.Module]:
    def build(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
        importable()
        import timm.models

        return getattr(getattr(timm.models, module), model)(
            img_size=16, patch_size=8, in_chans=1, num_classes=5, embed_dim=hidden, num_heads=heads,
            mlp_ratio=ratio(inner, hidden), depth=depth, **fixed,
        )  # fmt: skip

    return build


def family(name: str, build: Callable[..., nn.Module], layouts: dict[str, dict[int, str]]) -> Family:
    return Family(name, build, FULL, SPACES, pixels("x"), layouts, per_head, package="timm")


def mixer(hidden: int, inner: int, depth: int) -> nn.Module:
    importable()
    from timm.models.mlp_mixer import MlpMixer

    return MlpMixer(
        img_size=16, patch_size=4, in_chans=1, num_classes=5, num_blocks=depth, embed_dim=hidden,
        mlp_ratio=(ratio(12, hidden), ratio(inner, hidden)),
    )  # fmt: skip


def convnext(hidden: int, depth: int) -> nn.Module:
    importable()
    from timm.models.convnext import ConvNeXt

    return ConvNeXt(
        in_chans=1, num_classes=5, patch_size=2, output_stride=8, kernel_sizes=3, ls_init_value=0.5,
        dims=(hidden, 2 * hidden, 2 * hidden, 2 * hidden), depths=(depth, 1, 1, 1),
    )  # fmt: skip


# Rotary embeddings in two dimensions: neighbours are pairs, the first half of a head turns with the row, the second
# with the column. Queries and keys keep the first frequencies of both.
EVA = {
    "*.attn.qkv.weight": {0: "heads * 2 * half + heads * 2 * half + heads * d"},
    "*.attn.q_bias": {0: "heads * 2 * half"},
    "*.attn.v_bias": {0: "heads * d"},
    "*.attn.proj.weight": {1: "heads * d"},
    "*.mlp.fc1.*": {0: "2 * inner"},
    "*.mlp.fc2.weight": {1: "inner"},
}

eva = replace(
    family("timm EVA", plain("eva", "Eva", swiglu_mlp=True, use_rot_pos_emb=True, init_values=0.5), EVA),
    full={**FULL, "hidden": 64},
    spaces={**SPACES, "hidden": {"hidden": 48}, "heads": {"heads": 3, "hidden": 48}},
)

FAMILIES = [
    family("timm ViT", plain("vision_transformer", "VisionTransformer"), FUSED),
    family(
        "timm ViT with normed queries and keys",
        plain("vision_transformer", "VisionTransformer", qk_norm=True, init_values=0.5),
        {**FUSED, "*.attn.[qk]_norm.*": {0: "d"}},
    ),
    family(
        "timm BEiT",
        plain("beit", "Beit", use_rel_pos_bias=True, init_values=0.5),
        {**FUSED, "*.attn.[qv]_bias": {0: "heads * d"}, "*.relative_position_bias_table": {1: "heads"}},
    ),
    eva,
    Family(
        "timm MLP-Mixer", mixer, {"hidden": 32, "inner": 48, "depth": 2},
        {"hidden": {"hidden": 24}, "inner": {"inner": 36}, "depth": {"depth": 1}}, pixels("x"), package="timm",
    ),
    Family(
        "timm ConvNeXt", convnext, {"hidden": 24, "depth": 4}, {"hidden": {"hidden": 18}, "depth": {"depth": 1}},
        pixels("x"), package="timm", note="hidden: of the first stage, doubled in the others; depth: of the first",
    ),
]  # fmt: skip
