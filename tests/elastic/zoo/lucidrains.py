"""vit-pytorch and x-transformers: heads in einops layers, their width apart from hidden."""

from torch import nn

from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.inputs import IDS, pixels
from tests.elastic.zoo.torchvision_ops import importable

FULL = {"hidden": 32, "heads": 4, "head_dim": 12, "inner": 48, "depth": 2}
SPACES = {
    "hidden": {"hidden": 24},
    "heads": {"heads": 3},
    "head_dim": {"head_dim": 8},
    "inner": {"inner": 36},
    "depth": {"depth": 1},
}


def vit(hidden: int, heads: int, head_dim: int, inner: int, depth: int) -> nn.Module:
    importable()
    from vit_pytorch import ViT

    return ViT(
        image_size=16, patch_size=8, num_classes=5, channels=1, dim=hidden, depth=depth, heads=heads, mlp_dim=inner,
        dim_head=head_dim,
    )  # fmt: skip


def simple_vit(hidden: int, heads: int, head_dim: int, inner: int, depth: int) -> nn.Module:
    importable()
    from vit_pytorch import SimpleViT

    return SimpleViT(
        image_size=16, patch_size=8, num_classes=5, channels=1, dim=hidden, depth=depth, heads=heads, mlp_dim=inner,
        dim_head=head_dim,
    )  # fmt: skip


def decoder(hidden: int, heads: int, kv: int, head_dim: int, inner: int, depth: int) -> nn.Module:
    importable()
    from x_transformers import Decoder, TransformerWrapper

    return TransformerWrapper(
        num_tokens=31, max_seq_len=16,
        attn_layers=Decoder(
            dim=hidden, depth=depth, heads=heads, attn_dim_head=head_dim, attn_kv_heads=kv, ff_mult=inner / hidden,
            ff_glu=True, rotary_pos_emb=True, use_rmsnorm=True, verbose=False,
        ),
    )  # fmt: skip


# chunk(3), then rearrange "b n (h d) -> b h n d"
FUSED = {"*.to_qkv.weight": {0: "3 * heads * head_dim"}, "*.to_out*.weight": {1: "heads * head_dim"}}

# Query head i reads key head i % kv: the heads are (group, kv). Neighbours are pairs in the rotary first half of a
# head, and the second half passes.
DECODER = {
    "*.to_q.weight": {0: "group * kv * (pairs * 2 + passed)"},
    "*.to_k.weight": {0: "kv * (pairs * 2 + passed)"},
    "*.to_v.weight": {0: "kv * head_dim"},
    "*.to_out.weight": {1: "group * kv * head_dim"},
    "*.ff.0.proj.*": {0: "2 * inner"},
    "*.ff.2.weight": {1: "inner"},
}


def groups(sizes: Sizes) -> Sizes:
    return {"group": sizes["heads"] // sizes["kv"], "pairs": sizes["head_dim"] // 4, "passed": sizes["head_dim"] // 2}


FAMILIES = [
    Family("vit-pytorch ViT", vit, FULL, SPACES, pixels("img"), FUSED, package="vit_pytorch"),
    Family("vit-pytorch SimpleViT", simple_vit, FULL, SPACES, pixels("img"), FUSED, package="vit_pytorch"),
    Family(
        "x-transformers decoder", decoder, {**FULL, "heads": 6, "kv": 3},
        {**SPACES, "heads": {"heads": 3}, "kv": {"kv": 2, "heads": 4}}, lambda sizes: {"x": IDS}, DECODER, groups,
        package="x_transformers", note="heads: with as many key heads; kv: in proportion to the heads",
    ),
]  # fmt: skip
