"""Parts of backbones with item features: the embedding of the features, and the projection of two sequences to one."""

import torch
from torch import Tensor, nn

import elasticnas.nn as enn
from easrec.config import ModelConfig
from easrec.data import ItemFeatures
from elasticnas.axes import SizeLike
from elasticnas.errors import ConfigError

__all__ = ["FeatureEmbedding", "Fuse", "require_features"]


class FeatureEmbedding(nn.Module):
    """Embeds an item as the sum of its features' embeddings; 0 if it has none.

    Args:
        features: Features of every item; they are saved with the settings, not in the state dict.
        hidden: Width of the embedding.
    """

    def __init__(self, features: ItemFeatures, hidden: SizeLike) -> None:
        super().__init__()
        self.table = enn.Embedding(len(features.names), hidden, padding_idx=0)
        self.register_buffer("of_item", torch.from_numpy(features.padded()), persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        """Map ``(B, N)`` item ids to ``(B, N, hidden)``."""
        assert isinstance(self.of_item, Tensor)
        summed: Tensor = self.table(self.of_item[items]).sum(-2)
        return summed


class Fuse(nn.Module):
    """Concatenates two sequences and projects them to the width of one.

    Args:
        hidden: Width of each input and of the output.
    """

    def __init__(self, hidden: SizeLike) -> None:
        super().__init__()
        self.project = enn.Linear(hidden + hidden, hidden)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Map two ``(B, N, hidden)`` tensors to one; the second is cut to the width of the first."""
        fused: Tensor = self.project(torch.cat([x, other[..., : x.shape[-1]]], -1))
        return fused


def require_features(config: ModelConfig, features: ItemFeatures | None) -> None:
    """Check that features are given if the backbone uses them.

    Raises:
        ConfigError: They are missing.
    """
    if config.has_features and features is None:
        raise ConfigError(
            f"model.backbone={config.backbone} embeds features of items and the data has none: give --items FILE and "
            "--features COLUMN (to prepare, for prepared data), or set model.backbone=sasrec"
        )
