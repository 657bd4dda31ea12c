"""GPT-2 of plain torch modules, which ModelOpt's AutoNAS can convert; it imports torch only."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["GPT2"]


class Attention(nn.Module):
    """Causal self-attention.

    Args:
        hidden: Model width d.
        heads: Number of heads h.
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.fused, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, d) -> (B, N, d)."""
        query, key, value = self.fused(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(attended.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A layer of GPT-2.

    Args:
        hidden: Model width d.
        heads: Number of heads h.
        inner: Inner size D.
    """

    def __init__(self, hidden: int, heads: int, inner: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.attention = Attention(hidden, heads)
        self.up, self.down = nn.Linear(hidden, inner), nn.Linear(inner, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, d) -> (B, N, d)."""
        x = x + self.attention(self.norm_1(x))
        return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    """GPT-2 without dropout, with output weights tied to the embedding.

    Args:
        hidden: Model width d.
        heads: Number of heads h.
        inner: Inner size D.
        depth: Layers L.
        vocabulary: Number of tokens V.
        length: Positions N.
    """

    def __init__(self, hidden: int, heads: int, inner: int, depth: int, vocabulary: int, length: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, hidden), nn.Embedding(length, hidden)
        self.layers = nn.Sequential(*(Block(hidden, heads, inner) for _ in range(depth)))
        self.norm = nn.LayerNorm(hidden)
        self.apply(_initialise)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, N) -> logits (B, N, V)."""
        x = self.tokens(ids) + self.positions.weight
        return F.linear(self.norm(self.layers(x)), self.tokens.weight)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
