"""Swin in transformers, timm and torchvision: two stages, the second twice as wide with twice the heads."""

from collections.abc import Mapping

from torch import nn

from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.from_config import from_config
from tests.elastic.zoo.inputs import per_head, pixels
from tests.elastic.zoo.torchvision_ops import importable

FULL = {"hidden": 32, "heads": 4, "inner": 48, "depth": 2}
SPACES = {
    "hidden": {"hidden": 24},
    "heads": {"heads": 3, "hidden": 24},
    "inner": {"inner": 36},
    "depth": {"depth": 1},
}


def both_stages(sizes: Sizes) -> Sizes:
    return {**per_head(sizes), "twice": 2 * sizes["heads"]}


def layouts(
    stem: str, first: str, second: str, merging: str, up: str, down: str, qkv: str = "attn.qkv", out: str = "attn.proj",
    fused: str = "3 * ",
) -> Mapping[str, Mapping[int, str]]:  # fmt: skip
    """Heads of both stages, and the stream of the first, of which merging concatenates four neighbours.

    Args:
        stem: Pattern of the tensors before the first stage, such as ``patch_embed.*``.
        first: Prefix of the first stage.
        second: Prefix of the second stage.
        merging: Prefix of the patch merging between them.
        up: The first layer of a feed-forward part.
        down: Its second layer.
        qkv: The projections of an attention.
        out: Its output projection.
        fused: The factor of queries, keys and values in one projection, if they are.
    """
    return {
        f"{merging}norm.*": {0: "4 * hidden"},
        f"{merging}reduction.weight": {1: "4 * hidden"},
        f"{first}*{qkv}.weight": {0: f"{fused}heads * d", 1: "hidden"},
        f"{first}*{qkv}.bias": {0: f"{fused}heads * d"},
        f"{first}*{out}.weight": {0: "hidden", 1: "heads * d"},
        f"{first}*{out}.bias": {0: "hidden"},
        f"{first}*relative_position_bias_table": {1: "heads"},
        f"{first}*{up}.weight": {1: "hidden"},
        f"{first}*{up}.bias": {},
        f"{first}*{down}.*": {0: "hidden"},
        f"{first}*norm*": {0: "hidden"},
        stem: {0: "hidden"},
        f"{second}*{qkv}.*": {0: f"{fused}twice * d"},
        f"{second}*{out}.weight": {1: "twice * d"},
        f"{second}*relative_position_bias_table": {1: "twice"},
    }


def of_transformers(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    return from_config(
        "SwinForImageClassification", "SwinConfig", embed_dim=hidden, num_heads=[heads, 2 * heads], depths=[depth, 1],
        mlp_ratio=inner / hidden, image_size=16, patch_size=2, num_channels=1, window_size=4, num_labels=5,
    )()  # fmt: skip


def of_timm(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    importable()
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(
        img_size=16, patch_size=2, in_chans=1, num_classes=5, window_size=4, embed_dim=hidden, depths=(depth, 1),
        num_heads=(heads, 2 * heads), mlp_ratio=inner / hidden,
    )  # fmt: skip


def of_torchvision(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    importable()
    from torchvision.models import SwinTransformer

    return SwinTransformer(
        [2, 2], hidden, [depth, 1], [heads, 2 * heads], [4, 4], mlp_ratio=inner / hidden, num_classes=5
    )


NOTE = "depth: of the first stage; inner: of the first stage, doubled in the second"

FAMILIES = [
    Family(
        "Swin", of_transformers, FULL, SPACES, pixels(),
        layouts("swin.embeddings.*", "swin.encoder.layers.0.", "swin.encoder.layers.1.",
                "swin.encoder.layers.0.downsample.", "fc1", "fc2", "attention.[qkv]_proj", "attention.o_proj", ""),
        both_stages, note=NOTE,
    ),
    Family(
        "timm Swin", of_timm, FULL, SPACES, pixels("x"),
        layouts("patch_embed.*", "layers.0.", "layers.1.", "layers.1.downsample.", "fc1", "fc2"),
        both_stages, package="timm", note=NOTE,
    ),
    Family(
        "torchvision Swin", of_torchvision, FULL, SPACES, pixels("x", 3),
        layouts("features.0.*", "features.1.", "features.3.", "features.2.", "mlp.0", "mlp.3"),
        both_stages, package="torchvision", note=NOTE,
    ),
]  # fmt: skip
