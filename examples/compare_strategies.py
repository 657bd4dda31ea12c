"""Compare all search strategies on one problem over several seeds: mean and standard deviation of their results.

``python examples/compare_strategies.py runs/comparison`` takes about a minute on two cores, needs Optuna
(``pip install '.[evolve]'``), and writes ``comparison.json`` and ``comparison.md``. The task: do the first two of six
numbers have the same sign? Half of the largest network's FLOPs are allowed.
"""

import argparse
import json
import shlex
import statistics
import sys
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

import elasticnas
import elasticnas.nn as enn
from elasticnas.cost import Flops
from elasticnas.files import write_text
from elasticnas.report import environment
from elasticnas.search import (
    DARTS,
    SPOS,
    DynamicConstraint,
    Problem,
    ProxylessNAS,
    RandomSearch,
    RecNAS,
    Reinforce,
    SearchSettings,
    Strategy,
)

STRATEGIES = (DARTS, ProxylessNAS, RecNAS, DynamicConstraint, Reinforce, SPOS, RandomSearch)
TEST = -2  # epoch of the test batches; searches rank on epoch -1, and train on neither
SETTINGS = {"steps": 300, "warmup_steps": 100, "update_every": 2, "weight_lr": 0.01, "architecture_lr": 0.05}


class Sizes(elasticnas.Space):
    hidden: Literal[32, 24, 16, 8, 4]
    depth: Literal[3, 2, 1]


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.blocks = enn.Stack([enn.FeedForward(6, sizes.hidden) for _ in range(3)], sizes.depth)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.blocks(x))


def batches(epoch):
    x = torch.randn(50, 64, 6, generator=torch.Generator().manual_seed(epoch))
    return list(zip(x, (x[..., 0] * x[..., 1] > 0).long(), strict=True))


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def accuracy(model, epoch=-1):
    hits = [(model(x).argmax(-1) == y).float().mean() for x, y in batches(epoch)]
    return {"accuracy": float(torch.stack(hits).mean())}


def problem() -> Problem:
    model = Net(Sizes.axes())  # a new one per search, because a search trains its weights in place
    return Problem(
        model,
        loss,
        train=batches,
        held_out=lambda epoch: batches(1000 + epoch),
        costs={"flops": Flops(model, torch.zeros(1, 6))},
        evaluate=accuracy,
        metric="accuracy",
        direction="maximise",
        budgets={"flops": "50%"},
    )


def one_search(strategy: Strategy, seed: int, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return test accuracy and share of the FLOPs of the found, the best random and the largest architecture.

    All three use the weights of the supernet after the search.
    """
    torch.manual_seed(seed)
    searched = problem()
    result = strategy.search(searched, SearchSettings(seed=seed, random_architectures=4, **settings))
    flops, model = searched.costs["flops"], searched.model.eval()
    shown = {"found": result.best, "random": result.random.architecture, "largest": Sizes.largest()}
    measured = {}
    for name, arch in shown.items():
        with torch.no_grad(), elasticnas.axes_of(model).at(arch):
            share = flops(arch) / flops(Sizes.largest())
            measured[name] = {"architecture": arch.model_dump(), "share": share, **accuracy(model, TEST)}
    return measured


def page(comparison: dict[str, Any]) -> str:
    """Return a page with one row per strategy: mean and standard deviation over the seeds."""
    where, results = comparison["environment"], comparison["results"]
    seeds = len(next(iter(results.values())))
    lines = [
        "# What each strategy finds on a small problem",
        "",
        f"`{where['command']}`, commit {where['commit']}, {where['processor']}, {where['threads']} thread(s), "
        f"torch {where['torch']}.",
        "",
        f"The problem of [compare_strategies.py](../../examples/compare_strategies.py): {len(list(Sizes.enumerate()))} "
        f"architectures, at most half of the FLOPs. Mean ± standard deviation over {seeds} seeds, accuracy on test "
        "batches with the weights of the supernet that the search trained; *random* is the best of four architectures "
        "drawn within the budget.",
        "",
        "| strategy | found | share of FLOPs | random | largest |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, runs in results.items():
        cells = [_spread([run[who]["accuracy"] for run in runs.values()]) for who in ("found", "random", "largest")]
        share = statistics.mean(run["found"]["share"] for run in runs.values())
        lines.append(f"| {name} | {cells[0]} | {share:.0%} | {cells[1]} | {cells[2]} |")
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"


def main(arguments: list[str] | None = None, settings: dict[str, Any] = SETTINGS) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # more threads only add overhead on tensors this small
    results: dict[str, Any] = {}
    for strategy in STRATEGIES:
        for seed in range(options.seeds):
            measured = one_search(strategy(), seed, settings)
            results.setdefault(strategy.name, {})[str(seed)] = measured
            print(f"{strategy.name}, seed {seed}: {_line(measured)}", flush=True)
    command = shlex.join(["python", "examples/compare_strategies.py", *(arguments or sys.argv[1:])])
    where = environment(torch.device("cpu")) | {"command": command}
    comparison = {"format": 1, "settings": settings, "results": results, "environment": where}
    write_text(options.out / "comparison.json", json.dumps(comparison, indent=2) + "\n")
    write_text(options.out / "comparison.md", page(comparison))


def _line(measured: dict[str, Any]) -> str:
    return ", ".join(f"{who} {one['accuracy']:.3f} at {one['share']:.0%} of the FLOPs" for who, one in measured.items())


if __name__ == "__main__":
    main()
