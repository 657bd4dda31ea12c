"""The language model, built from elastic primitives, and its search space."""

from types import SimpleNamespace
from typing import Annotated, Any, Literal

from torch import Tensor, nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space

__all__ = ["GPT", "Sizes", "scaled"]

BYTES, HEADS, HEAD_DIM, START = 256, 4, 16, 0.1


class Sizes(Space):
    """Hidden size, heads (of width 16), depth, and the feed-forward size of each layer."""

    hidden: Literal[64, 48, 32]
    heads: Literal[4, 3, 2, 1]
    depth: Literal[4, 3, 2, 1]
    inner: Annotated[tuple[Literal[256, 192, 128, 64], ...], PerLayer("depth")]


class Block(nn.Module):
    """A pre-norm transformer layer; ``(B, N, hidden) -> (B, N, hidden)``."""

    def __init__(self, sizes: Any, inner: Any) -> None:
        super().__init__()
        head_dim = getattr(sizes, "head_dim", HEAD_DIM)
        self.first, self.second = enn.LayerNorm(sizes.hidden), enn.LayerNorm(sizes.hidden)
        self.attention = enn.Attention(sizes.hidden, sizes.heads, head_dim, causal=True)
        self.feed_forward = enn.FeedForward(sizes.hidden, inner)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, N, hidden) -> (B, N, hidden)``."""
        x = x + self.attention(self.first(x))
        out: Tensor = x + self.feed_forward(self.second(x))
        return out


class GPT(nn.Module):
    """Maps bytes ``(B, N)`` to logits of the next byte ``(B, N, 256)``; input and output embeddings are tied.

    Args:
        sizes: Axes for the supernet; an architecture, or what :func:`scaled` returns, for a plain network.
        length: Maximum N.

    Source: GPT-2 (pre-norm).
    """

    def __init__(self, sizes: Any, length: int) -> None:
        super().__init__()
        self.bytes = enn.Embedding(BYTES, sizes.hidden)
        nn.init.normal_(self.bytes.weight, std=START)  # tied to the output: torch's 1 gives far too large logits
        self.positions = enn.Parameter(length, sizes.hidden, std=START)
        self.layers = enn.Stack([Block(sizes, inner) for inner in sizes.inner], sizes.depth)
        self.norm = enn.LayerNorm(sizes.hidden)

    def forward(self, ids: Tensor) -> Tensor:
        """``(B, N) -> (B, N, 256)``."""
        x = self.bytes(ids)
        x = x + enn.align(self.positions, x)[..., : ids.shape[1], :]
        scores: Any = self.bytes.scores
        logits: Tensor = scores(self.norm(self.layers(x)))
        return logits


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
