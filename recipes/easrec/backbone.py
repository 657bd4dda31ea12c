"""What the backbones with item features add: the features' embedding, and the projection of two sequences to one."""

import torch
from torch import Tensor, nn

import elasticnas.nn as enn
from easrec.config import ModelConfig
from easrec.data import ItemFeatures
from elasticnas.axes import SizeLike
from elasticnas.errors import ConfigError

__all__ = ["FeatureEmbedding", "Fuse", "require_features"]


class FeatureEmbedding(nn.Module):
    """The sum of the embeddings of an item's features, 0 where it has none.

    Args:
        features: Of every item; they come with the network's settings, not with its weights.
        hidden: Width.
    """

    def __init__(self, features: ItemFeatures, hidden: SizeLike) -> None:
        super().__init__()
        self.table = enn.Embedding(len(features.names), hidden, padding_idx=0)
        self.register_buffer("of_item", torch.from_numpy(features.padded()), persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        """``(B, N)`` item ids to ``(B, N, hidden)``."""
        assert isinstance(self.of_item, Tensor)
        summed: Tensor = self.table(self.of_item[items]).sum(-2)
        return summed


class Fuse(nn.Module):
    """Two sequences side by side, projected to the width of one.

    Args:
        hidden: Width of each of the three.
    """

    def __init__(self, hidden: SizeLike) -> None:
        super().__init__()
        self.project = enn.Linear(hidden + hidden, hidden)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """``(B, N, hidden)`` each; of the other, the part that a candidate takes of ``x``."""
        fused: Tensor = self.project(torch.cat([x, other[..., : x.shape[-1]]], -1))
        return fused


def require_features(config: ModelConfig, features: ItemFeatures | None) -> None:
    """Refuse a backbone that takes features without any.

    Raises:
        ConfigError: There are none.
    """
    if config.has_features and features is None:
        raise ConfigError(
            f"model.backbone={config.backbone} embeds features of items and the data has none: give --items FILE and "
            "--features COLUMN (to prepare, for prepared data), or take model.backbone=sasrec"
        )
