"""Measure the effect of importance order on sub-networks of a network trained without a supernet.

``python benchmarks/importance.py docs/results`` trains a small transformer on scikit-learn's digits for several seeds,
elastifies it, and evaluates sub-networks at half the FLOPs, with units as trained and sorted. It writes
``importance.json`` and ``importance.md``.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any, Literal

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from elasticnas import Space, elastify
from elasticnas.cost import Flops
from elasticnas.elastic import reorder
from elasticnas.report import environment


class Sizes(Space):
    """The hidden size is 8 per head."""

    heads: Literal[8, 6, 5, 4]
    inner: Literal[256, 192, 128, 96, 64]
    attention_heads: Literal[8, 6, 4, 2]

    @property
    def hidden(self) -> int:
        return 8 * self.heads


class Attention(nn.Module):
    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(hidden, 8 * heads), nn.Linear(hidden, 8 * heads)
        self.value, self.out = nn.Linear(hidden, 8 * heads), nn.Linear(8 * heads, hidden)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part(x).unflatten(-1, (-1, 8)).transpose(1, 2) for part in (self.query, self.key, self.value))
        return self.out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))


class Block(nn.Module):
    def __init__(self, hidden: int, heads: int, inner: int) -> None:
        super().__init__()
        self.first, self.attention = nn.LayerNorm(hidden), Attention(hidden, heads)
        self.second, self.up, self.down = nn.LayerNorm(hidden), nn.Linear(hidden, inner), nn.Linear(inner, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.first(x))
        return x + self.down(nn.functional.gelu(self.up(self.second(x))))


class Vision(nn.Module):
    """A small ViT: 16 patches of 2 x 2 pixels, 4 layers."""

    def __init__(self, hidden: int, attention_heads: int, inner: int) -> None:
        super().__init__()
        self.embed, self.positions = nn.Linear(4, hidden), nn.Parameter(0.02 * torch.randn(16, hidden))
        self.blocks = nn.ModuleList(Block(hidden, attention_heads, inner) for _ in range(4))
        self.norm, self.head = nn.LayerNorm(hidden), nn.Linear(hidden, 10)

    def forward(self, images: Tensor) -> Tensor:
        patches = images.unfold(1, 2, 2).unfold(2, 2, 2).flatten(1, 2).flatten(-2)
        x = self.embed(patches) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x.mean(1)))


def data(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images and labels for training and for test."""
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(seed))
    x, y = torch.tensor(digits.images, dtype=torch.float32)[order] / 16, torch.tensor(digits.target)[order]
    return x[:1297], y[:1297], x[1297:], y[1297:]


def train(network: nn.Module, x: Tensor, y: Tensor, epochs: int, seed: int) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    steps = epochs * (len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps + 1)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(64)[: len(x) // 64]:
            loss = nn.functional.cross_entropy(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return float((model(x).argmax(-1) == y).float().mean())


def run(seed: int, epochs: int) -> dict[str, Any]:
    x, y, test_x, test_y = data(seed)
    torch.manual_seed(seed)
    network = Vision(64, 8, 256)
    train(network, x, y, epochs, seed)
    network.eval()
    plain = elastify(Vision, Sizes, RULES, weights=network).eval()
    flops = Flops(plain, test_x[:1])
    largest = flops(Sizes.largest())
    archs = [arch for arch in Sizes.enumerate() if 0.45 <= flops(arch) / largest <= 0.5]
    found: dict[str, Any] = {"whole": accuracy(network, test_x, test_y), "architectures": len(archs)}
    for order in ("trained", "magnitude", "activation"):
        model = elastify(Vision, Sizes, RULES, weights=network).eval()
        if order != "trained":
            reorder(model, x[:8], order, x.split(64)[:4])
        assert abs(accuracy(model, test_x, test_y) - found["whole"]) < 1e-6
        scores = {}
        for arch in archs:
            with model.at(arch):
                scores[arch] = accuracy(model, test_x, test_y)
        best = max(scores, key=lambda arch: scores[arch])
        found[order] = {
            "mean": statistics.mean(scores.values()),
            "best": scores[best],
            "best_architecture": best.model_dump(),
        }
    return found


RULES = {
    **{f"*.{name}.weight": "(attention_heads head_dim) _" for name in ("query", "key", "value")},
    **{f"*.{name}.bias": "(attention_heads head_dim)" for name in ("query", "key", "value")},
    "*.out.weight": "_ (attention_heads head_dim)",
}


def page(record: dict[str, Any]) -> str:
    where, runs = record["environment"], list(record["seeds"].values())

    def cell(values: list[float]) -> str:
        spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
        return f"{100 * statistics.mean(values):.1f}{spread}"

    lines = [
        "# Importance order",
        "",
        f"`{where['command']}`, commit {where['commit']}, {where['processor']}, {where['threads']} threads; "
        f"seeds {', '.join(record['seeds'])}.",
        "",
        "A ViT (hidden 64, 8 heads, inner 256, 4 layers) is trained on scikit-learn's digits, elastified, and reduced "
        "to 45-50 % of its FLOPs without further training: "
        f"{runs[0]['architectures']} architectures of hidden size, heads, inner size. Test accuracy in percent, mean "
        f"± standard deviation over {len(runs)} seeds; the full network has {cell([run['whole'] for run in runs])}.",
        "",
        "| order of the units | mean of the architectures | best architecture |",
        "|---|---:|---:|",
    ]
    names = {"trained": "as trained", "magnitude": "by magnitude", "activation": "by activation"}
    for order, name in names.items():
        cells = [cell([run[order][what] for run in runs]) for what in ("mean", "best")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    record: dict[str, Any] = {"seeds": {}}
    for seed in range(options.seeds):
        record["seeds"][str(seed)] = run(seed, options.epochs)
        print(seed, json.dumps(record["seeds"][str(seed)]), flush=True)
    record["environment"] = environment(torch.device("cpu"))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "importance.json").write_text(json.dumps(record, indent=2) + "\n")
    (options.out / "importance.md").write_text(page(record))


if __name__ == "__main__":
    main()
