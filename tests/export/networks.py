"""Networks to export."""

from typing import Literal

import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space, extract


class Sizes(Space):
    hidden: Literal[12, 8]
    inner: Literal[16, 8]
    heads: Literal[4, 2, 1]
    depth: Literal[2, 1]


class Encoder(nn.Module):
    """Ids, and padding where given, to scores."""

    def __init__(self, sizes, kind="softmax", causal=False, kv_heads=None):
        super().__init__()
        self.items = enn.Embedding(9, sizes.hidden)
        layers = [enn.Attention(sizes.hidden, sizes.heads, 4, kind, causal=causal, kv_heads=kv_heads) for _ in range(2)]
        self.layers = enn.Stack(layers, sizes.depth)
        self.gate = enn.DataAwareGate(sizes.hidden, sizes.hidden)
        self.feed_forward, self.norm = enn.FeedForward(sizes.hidden, sizes.inner), enn.RMSNorm(sizes.hidden)

    def forward(self, items, padding=None):
        x = self.items(items)
        x = self.norm(x + self.layers(x, padding))
        return self.items.scores(x + self.gate(x) * self.feed_forward(x))


def extracted(arch, **options):
    torch.manual_seed(0)
    return extract(Encoder(Sizes.axes(), **options), arch).eval()
