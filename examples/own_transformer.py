"""Search the sizes of your own transformer: declare a space, write the model once, search, extract, save.

The task: at every position of a sequence of digits, predict the larger of this digit and the previous one. Run it with
``python examples/own_transformer.py``; it takes well under a minute on two cores.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

import elasticnas
import elasticnas.nn as enn
from elasticnas.cost import Flops
from elasticnas.search import DynamicConstraint, Problem, SearchResult, SearchSettings

LENGTH, DIGITS = 12, 10


class Encoder(elasticnas.Space):
    """Search space. Fields are choices, properties are derived sizes, validators are rules."""

    hidden: Literal[48, 32, 16]
    inner: Literal[96, 64, 32]
    heads: Literal[4, 2]
    depth: Literal[1, 2, 3]

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @model_validator(mode="after")
    def not_narrow_and_deep(self) -> "Encoder":
        if self.hidden == 16 and self.depth == 3:
            raise ValueError("hidden=16 is too narrow for depth=3")
        return self


class Block(nn.Module):
    """One layer. ``sizes`` are axes in a supernet and integers in a plain network."""

    def __init__(self, sizes) -> None:
        super().__init__()
        self.first, self.second = enn.LayerNorm(sizes.hidden), enn.LayerNorm(sizes.hidden)
        self.attention = enn.Attention(sizes.hidden, sizes.heads, sizes.head_dim, causal=True)
        self.feed_forward = enn.FeedForward(sizes.hidden, sizes.inner)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.first(x))
        return x + self.feed_forward(self.second(x))


class Larger(nn.Module):
    """Transformer, ``(B, N)`` digits to ``(B, N, 10)`` scores."""

    def __init__(self, sizes) -> None:
        super().__init__()
        self.digits = enn.Embedding(DIGITS, sizes.hidden)
        self.positions = enn.Parameter(LENGTH, sizes.hidden, std=0.1)
        self.layers = enn.Stack([Block(sizes) for _ in range(3)], sizes.depth)
        self.norm, self.head = enn.LayerNorm(sizes.hidden), enn.Linear(sizes.hidden, DIGITS)

    def forward(self, digits: Tensor) -> Tensor:
        x = self.digits(digits)
        return self.head(self.norm(self.layers(x + enn.align(self.positions, x))))


def batches(seed: int, count: int):
    """Return a function ``epoch -> batches``, one of the forms of data that a Problem accepts."""

    def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(seed * 10_000 + number)
        for _ in range(count):
            digits = torch.randint(DIGITS, (64, LENGTH), generator=generator)
            yield digits, torch.maximum(digits, digits.roll(1, 1))

    return epoch


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the cross entropy, without the first position, which has no previous digit."""
    digits, answers = batch
    return nn.functional.cross_entropy(model(digits)[:, 1:].flatten(0, 1), answers[:, 1:].flatten())


@torch.no_grad()
def accuracy(model: nn.Module) -> dict[str, float]:
    """Return the accuracy on batches that are used for neither weights nor architecture."""
    right = [(model(digits)[:, 1:].argmax(-1) == answers[:, 1:]).float().mean() for digits, answers in batches(3, 4)(0)]
    return {"accuracy": float(torch.stack(right).mean())}


def main(steps: int = 600, folder: Path = Path("runs/own_transformer")) -> SearchResult:
    """Search within half of the largest network's FLOPs, extract the found network, and save it."""
    torch.manual_seed(0)
    model = Larger(Encoder.axes())
    example = torch.zeros(1, LENGTH, dtype=torch.long)
    problem = Problem(
        model,
        loss,
        train=batches(1, 50),
        held_out=batches(2, 10),
        costs={"flops": Flops(model, example)},
        evaluate=accuracy,
        metric="accuracy",
        direction="maximise",
        budgets={"flops": "50%"},
    )
    settings = SearchSettings(
        steps=steps, update_every=2, warmup_steps=steps // 5, architecture_lr=0.05, evaluate_every=steps // 6
    )
    result = DynamicConstraint(weight=0.02).search(problem, settings)
    print(result)

    network = elasticnas.extract(model, result.best, example)  # torch's own layers, verified against the supernet
    elasticnas.save(network, result.best, folder)
    loaded = elasticnas.load(folder, Larger)
    assert torch.equal(loaded.eval()(example), network.eval()(example))
    print(f"saved to {folder}; accuracy of the loaded network: {accuracy(loaded)['accuracy']:.3f}")
    return result


if __name__ == "__main__":
    main()
