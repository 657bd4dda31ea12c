"""The vision transformer, in plain torch, and its search space."""

from types import SimpleNamespace
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import elasticnas
from elasticnas import PerLayer, Space

__all__ = ["RULES", "Sizes", "ViT", "build", "scaled", "supernet"]

PATCH, PATCHES, CLASSES, HEADS, HEAD_DIM = 2, 16, 10, 4, 16


class Sizes(Space):
    """Hidden size, heads (of width 16), depth, and the feed-forward size of each layer."""

    hidden: Literal[64, 48, 32, 16]
    heads: Literal[4, 3, 2, 1]
    depth: Literal[4, 3, 2, 1]
    inner: Annotated[tuple[Literal[128, 96, 64, 32], ...], PerLayer("depth")]


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection."""

    def __init__(self, hidden: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.qkv, self.out = nn.Linear(hidden, 3 * heads * head_dim), nn.Linear(heads * head_dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, N, hidden) -> (B, N, hidden)``."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, self.head_dim)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, hidden: int, heads: int, head_dim: int, inner: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.attention = Attention(hidden, heads, head_dim)
        self.up, self.down = nn.Linear(hidden, inner), nn.Linear(inner, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, N, hidden) -> (B, N, hidden)``."""
        x = x + self.attention(self.first(x))
        out: Tensor = x + self.down(F.gelu(self.up(self.second(x))))
        return out


class ViT(nn.Module):
    """Maps images ``(B, 8, 8)`` to logits ``(B, 10)``, with the mean over 16 patches of 2 x 2 pixels.

    Args:
        hidden: Model width.
        heads: Attention heads.
        head_dim: Width of a head.
        inner: Feed-forward width of each layer.

    Source: arXiv:2010.11929 (pre-norm), without its class token.
    """

    def __init__(self, hidden: int, heads: int, head_dim: int, inner: tuple[int, ...]) -> None:
        super().__init__()
        self.patches = nn.Linear(PATCH * PATCH, hidden)
        # as large as the patch embeddings: with 0.02, positions are hardly learned in so few steps
        self.positions = nn.Parameter(torch.randn(PATCHES, hidden))
        self.layers = nn.ModuleList(Block(hidden, heads, head_dim, width) for width in inner)
        self.norm, self.head = nn.LayerNorm(hidden), nn.Linear(hidden, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 8, 8) -> (B, 10)``."""
        cut = images.unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH).flatten(3).flatten(1, 2)
        x = self.patches(cut) + self.positions
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.head(self.norm(x.mean(1)))
        return logits


RULES = {
    "*.qkv.weight": "(3 heads head_dim) hidden",
    "*.qkv.bias": "(3 heads head_dim)",
    "*.out.weight": "hidden (heads head_dim)",
}


def build(sizes: Any) -> ViT:
    """Build the network of an architecture, or of what :func:`scaled` returns."""
    return ViT(sizes.hidden, sizes.heads, getattr(sizes, "head_dim", HEAD_DIM), tuple(sizes.inner))


def supernet() -> elasticnas.ElasticModel:
    """Build the supernet."""
    return elasticnas.elastify(build, Sizes, RULES, example=torch.rand(2, 8, 8))


def scaled(factor: float) -> SimpleNamespace:
    """Return the sizes of the largest network with every width times ``factor``; heads get narrower, depth stays."""
    largest = Sizes.largest()
    return SimpleNamespace(
        hidden=max(1, round(factor * largest.hidden)),
        heads=HEADS,
        head_dim=max(1, round(factor * HEAD_DIM)),
        inner=tuple(max(1, round(factor * width)) for width in largest.inner),
        depth=largest.depth,
    )
