"""torch's own transformers, and the models of torchvision."""

from functools import partial

import torch
from torch import Tensor, nn

from tests.elastic.zoo.family import Family
from tests.elastic.zoo.inputs import IDS, per_head, pixels
from tests.elastic.zoo.torchvision_ops import importable

FULL = {"hidden": 32, "heads": 4, "inner": 48, "depth": 2}
SPACES = {
    "hidden": {"hidden": 24},
    "heads": {"heads": 3, "hidden": 24},
    "inner": {"inner": 36},
    "depth": {"depth": 1},
}

# in_proj(x).unflatten(-1, (3, hidden)), then each part is split into (heads, d)
ATTENTION = {
    "*in_proj_*": {0: "3 * heads * d"},
    "*out_proj.weight": {1: "heads * d"},
}


class Encoder(nn.Module):
    """nn.TransformerEncoder between an embedding and scores."""

    def __init__(self, hidden: int, heads: int, inner: int, depth: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(31, hidden)
        layer = nn.TransformerEncoderLayer(hidden, heads, inner, dropout=0.0, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.score = nn.Linear(hidden, 5)

    def forward(self, ids: Tensor) -> Tensor:
        return self.score(self.encoder(self.embed(ids)))


class Translator(nn.Module):
    """nn.Transformer, encoder and decoder, between an embedding and scores."""

    def __init__(self, hidden: int, heads: int, inner: int, depth: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(31, hidden)
        self.transformer = nn.Transformer(
            hidden, heads, depth, depth, inner, dropout=0.0, norm_first=True, batch_first=True
        )
        self.score = nn.Linear(hidden, 31)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1]).to(self.score.weight)
        return self.score(self.transformer(self.embed(source), self.embed(target), tgt_mask=mask))


def vit(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    importable()
    from torchvision.models import VisionTransformer

    return VisionTransformer(16, 8, depth, heads, hidden, inner, num_classes=5)


family = partial(Family, full=FULL, spaces=SPACES, derive=per_head)

FAMILIES = [
    family(
        "nn.TransformerEncoder", Encoder, layouts=ATTENTION, example=lambda sizes: {"ids": IDS}, package="torch"
    ),
    family(
        "nn.Transformer",
        Translator,
        layouts=ATTENTION,
        example=lambda sizes: {"source": IDS, "target": torch.flip(IDS, [1])},
        package="torch",
        note="depth: of encoder and decoder",
    ),
    family("torchvision ViT", vit, layouts=ATTENTION, example=pixels("x", 3), package="torchvision"),
]  # fmt: skip
