"""Sandwich steps of a plain GPT-2 converted by ModelOpt's AutoNAS, in the environment of ``modelopt.txt``.

AutoNAS knows linear layers, norms, convolutions and ``nn.Sequential``, but no embeddings and no attention: of GPT-2 it
searches the inner sizes and the depth, not the hidden size or heads. transformers' GPT-2 has neither ``nn.Linear``
in its layers nor ``nn.Sequential``, so that the model is written here.
"""

from importlib.metadata import version
from typing import Any

import torch
import torch.nn.functional as F
from sandwich import HEAD, Arch, Sandwich
from torch import Tensor, nn

__all__ = ["GPT2", "open_side"]


class Attention(nn.Module):
    """Causal self-attention.

    Args:
        hidden: Model width d.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.fused, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, d) -> (B, N, d)."""
        query, key, value = self.fused(x).unflatten(-1, (3, -1, HEAD)).permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(attended.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A layer of GPT-2.

    Args:
        hidden: Model width d.
        inner: Inner size D.
    """

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.attention = Attention(hidden)
        self.up, self.down = nn.Linear(hidden, inner), nn.Linear(inner, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, d) -> (B, N, d)."""
        x = x + self.attention(self.norm_1(x))
        return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    """GPT-2 without dropout, with output weights tied to the embedding.

    Args:
        heads: Heads of width 64 h.
        inner: Inner size D.
        depth: Layers L.
        vocabulary: Number of tokens V.
        length: Positions N.
    """

    def __init__(self, heads: int, inner: int, depth: int, vocabulary: int, length: int) -> None:
        super().__init__()
        hidden = HEAD * heads
        self.tokens, self.positions = nn.Embedding(vocabulary, hidden), nn.Embedding(length, hidden)
        self.layers = nn.Sequential(*(Block(hidden, inner) for _ in range(depth)))
        self.norm = nn.LayerNorm(hidden)
        self.apply(_initialise)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, N) -> logits (B, N, V)."""
        x = self.tokens(ids) + self.positions.weight
        return F.linear(self.norm(self.layers(x)), self.tokens.weight)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)


def open_side(largest: Arch, vocabulary: int, batch: tuple[int, int], threads: int) -> Sandwich:
    """Return the converted model; ModelOpt's ``select`` chooses its sub-networks.

    It is in eval mode, since in training mode every forward pass draws a sub-network; without dropout both compute
    the same.
    """
    import modelopt.torch.nas as mtn
    from modelopt.torch.nas.utils import select

    torch.manual_seed(0)
    plain = GPT2(**largest, vocabulary=vocabulary, length=batch[1])
    rules = {
        "nn.Linear": {"*": {"features_ratio": (0.5, 2 / 3, 1.0), "feature_divisor": HEAD}},
        "nn.LayerNorm": {"*": {"features_ratio": (1.0,), "feature_divisor": 1}},
        "nn.Sequential": {"*": {"min_depth": 1}},
    }
    network: Any = mtn.convert(plain, [("autonas", rules)]).eval()

    def logits(arch: Arch, ids: Tensor) -> Tensor:
        if arch["heads"] != largest["heads"]:
            raise ValueError(f"AutoNAS does not search heads: {arch['heads']} instead of {largest['heads']}")
        inner = {f"layers.{number}.up.out_features": arch["inner"] for number in range(largest["depth"])}
        select(network, {"layers.depth": arch["depth"], **inner})
        found: Tensor = network(ids)
        return found

    return Sandwich(
        network, logits, {"versions": {"nvidia-modelopt": version("nvidia-modelopt")}}, vocabulary, batch, threads
    )
