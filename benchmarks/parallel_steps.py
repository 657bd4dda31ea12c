"""Time training steps of a supernet in this process or, under torchrun, in several with the same global batch.

``python benchmarks/parallel_steps.py FILE --threads 2`` writes the seconds of each step; :mod:`parallel` starts it.
"""

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

import elasticnas
import elasticnas.nn as enn
from elasticnas.parallel import rank, size
from elasticnas.run import Run
from elasticnas.search import Problem, SupernetTrainer, TrainerSettings

LENGTH, VOCABULARY = 64, 1000


class Sizes(elasticnas.Space):
    """Width of the feed-forward layers, and number of blocks."""

    inner: Literal[512, 256]
    depth: Literal[4, 2]


class Block(nn.Module):
    """Attention and a feed-forward layer, each after a norm and beside a residual."""

    def __init__(self, hidden: int, inner: Any) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(hidden), enn.Attention(hidden, 4, hidden // 4)
        self.other_norm, self.feed_forward = nn.LayerNorm(hidden), enn.FeedForward(hidden, inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(B, N, hidden)`` to the same shape."""
        x = x + self.attention(self.norm(x))
        return x + self.feed_forward(self.other_norm(x))


class Encoder(nn.Module):
    """A transformer encoder with a language-model head."""

    def __init__(self, sizes: Any, hidden: int = 128) -> None:
        super().__init__()
        self.items = nn.Embedding(VOCABULARY, hidden)
        blocks = [Block(hidden, sizes.inner) for _ in range(4)]
        self.blocks, self.head = enn.Stack(blocks, sizes.depth), nn.Linear(hidden, VOCABULARY)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Map ids ``(B, N)`` to logits ``(B, N, V)``."""
        logits: torch.Tensor = self.head(self.blocks(self.items(ids)))
        return logits


def loss(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Return the mean cross entropy of each id given itself; what is learned does not matter here."""
    return nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())


def main() -> None:
    """Train, and write the seconds of each step but the first ones."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--parallel", choices=["ddp", "fsdp"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=32)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    seen: list[float] = []
    run = Run(progress=lambda p: seen.append(time.perf_counter()), parallel=given.parallel)
    ids = torch.randint(VOCABULARY, (given.batch, LENGTH))[rank() :: size()]
    settings = TrainerSettings(steps=given.steps + 3, random_architectures=1, checkpoint_every=10**6)
    SupernetTrainer(Problem(Encoder(Sizes.axes()), loss, [ids]), settings).run(run)
    if rank() == 0:
        given.file.write_text(json.dumps([after - before for before, after in pairwise(seen[2:])]))


if __name__ == "__main__":
    main()
