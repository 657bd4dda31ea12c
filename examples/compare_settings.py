"""Compare options of the EASRec network on your interactions by training the largest network with each.

``python examples/compare_settings.py interactions.csv runs/settings --seeds 2`` trains every variant below with every
seed and writes ``settings.json`` and ``settings.md``. Each result is saved at once: run the same command again to
resume.
"""

import argparse
import json
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from easrec.config import Config
from easrec.data import Split, prepare, read_interactions
from easrec.model import build
from easrec.pipeline import evaluators
from easrec.searching import encoder_flops
from easrec.space import space_for
from easrec.training import train
from elasticnas.cost import Flops
from elasticnas.files import write_text
from elasticnas.record import Record, Result, read_result
from elasticnas.report import environment

BASE = {
    "model": {"hidden": 64, "inner": 128, "length": 100, "layers": 2, "heads": 2},
    "train": {"epochs": 20, "batch": 32, "learning_rate": 0.001, "validate_every": 2, "patience": 3},
}
VARIANTS = {
    "default: softmax attention, two-layer gates before the dense layers, seeing the mean so far": {},
    "LinRec, columns of keys normalised (paper)": {"model.attention": "linrec"},
    "LinRec, tokens of keys normalised (authors' code)": {"model.attention": "linrec", "model.key_norm": "token"},
    "one-layer gates": {"model.gate_layers": 1},
    "no gates": {"model.gate_layers": 0},
    "gates after the dense layers (authors' code)": {"model.gate_position": "after"},
    "gates of rank 16": {"model.gate_rank": 16},
    "gates see each position (paper)": {"model.gate_input": "position"},
}
PROTOCOLS, METRIC = ("unseen", "full", "pop100"), "ndcg@10"


class Measured(Record):
    """Result of the largest network of one variant: test metrics by protocol, FLOPs, training time in seconds."""

    metrics: dict[str, dict[str, float]]
    flops: float
    seconds: float


class Comparison(Result):
    """Results by variant and seed, and the environment in which they were measured."""

    results: dict[str, dict[str, Measured]]
    environment: dict[str, Any]


def measure(split: Split, config: Config) -> Measured:
    """Train and evaluate the largest network."""
    torch.manual_seed(config.seed)
    arch, evaluation, started = space_for(config.model).largest(), evaluators(split, config), time.perf_counter()
    network = build(config.model, split.items, arch, causal=True)
    trained = train(network, split, evaluation["validation"], config, torch.device("cpu"))
    metrics = dict(evaluation["test"].evaluate(trained.network.next_item))
    return Measured(metrics=metrics, flops=flops(config, split.items), seconds=time.perf_counter() - started)


def flops(config: Config, items: int) -> float:
    """Return the FLOPs of the encoder for one sequence of full length."""
    from easrec.model import supernet

    cost: Flops = encoder_flops(supernet(config.model, items, causal=True))
    return cost(cost.space.largest())


def page(comparison: Comparison) -> str:
    """Return a page with one row per variant: mean and standard deviation over the seeds."""
    where = comparison.environment
    lines = [
        "# Options of the network",
        f"`{where['command']}`, commit {where['commit']}, {where['processor']}, {where['threads']} threads.",
        f"| variant | encoder MFLOPs | {' | '.join(f'test {name}/{METRIC}' for name in PROTOCOLS)} | minutes |",
        f"|---|---:|{'---:|' * (len(PROTOCOLS) + 1)}",
    ]
    for name, runs in comparison.results.items():
        cells = []
        for protocol in PROTOCOLS:
            values = [run.metrics[protocol][METRIC] for run in runs.values()]
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.4f}{spread}")
        first = next(iter(runs.values()))
        minutes = statistics.mean(run.seconds for run in runs.values()) / 60
        lines.append(f"| {name} | {first.flops / 1e6:.2f} | {' | '.join(cells)} | {minutes:.1f} |")
    return "\n".join([lines[0], "", lines[1], "", *lines[2:]]) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=[""], help="variants whose name contains one of these words")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    split = Split(prepare(read_interactions(options.data), source=str(options.data)))
    file = options.out / "settings.json"
    results: dict[str, dict[str, Measured]] = {}
    if file.exists():
        results |= read_result(Comparison, json.loads(file.read_text()), "comparison of settings").results
    chosen = {name: changes for name, changes in VARIANTS.items() if any(word in name for word in options.only)}
    for name, changes in chosen.items():
        for seed in range(options.seeds):
            done = results.setdefault(name, {})
            if str(seed) in done:
                continue
            config = Config().updated(BASE).updated({"seed": seed, "train.epochs": options.epochs, **changes})
            done[str(seed)] = measure(split, config)
            print(
                f"{name}, seed {seed}: {PROTOCOLS[0]}/{METRIC} {done[str(seed)].metrics[PROTOCOLS[0]][METRIC]:.4f}",
                flush=True,
            )
            command = shlex.join(["python", "examples/compare_settings.py", *(arguments or sys.argv[1:])])
            comparison = Comparison(
                results=results, environment=environment(torch.device("cpu")) | {"command": command}
            )
            write_text(file, json.dumps(comparison.to_dict(), indent=2) + "\n")
    write_text(options.out / "settings.md", page(read_result(Comparison, json.loads(file.read_text()), "comparison")))


if __name__ == "__main__":
    main()
