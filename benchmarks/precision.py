"""What bfloat16 products are worth: NDCG@10 of trainings in both precisions, and the time of their steps.

``python benchmarks/precision.py docs/results --data ml-100k.tsv.gz --steps ml-1m.tsv.gz`` writes ``precision.json`` and
``.md`` after every training. A finished one is a file in ``--cells``; the same command continues an interrupted run.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cell import kept_cell
from interval import interval, ratio
from record import heading, write
from speed.alternate import time_alternately
from speed.interactions import typical_batch
from speed.step import Step

from easrec.config import Config, TrainConfig
from easrec.data import Interactions, Split, prepare, read_interactions
from easrec.evaluation import per_user
from easrec.losses import BatchLoss
from easrec.model import build
from easrec.pipeline import evaluators
from easrec.precision import chosen_precision
from easrec.space import space_for
from easrec.training import train
from elasticnas.report import environment, table

ATTENTIONS, PRECISIONS = ("softmax", "linrec"), ("float32", "bfloat16")
MODEL = {"hidden": 128, "inner": 256, "length": 50, "layers": 2, "heads": 4, "gate_layers": 0}
TRAIN = {"batch": 64, "patience": 1000, "validate_every": 1}
DRAWS = 2000
CPU = torch.device("cpu")


def config_of(attention: str, precision: str, seed: int, epochs: int) -> Config:
    """Return the settings of one training."""
    return Config().updated(
        {
            "model": MODEL | {"attention": attention},
            "train": TRAIN | {"precision": precision, "epochs": epochs},
            "cutoffs": [10],
            "seed": seed,
        }
    )


def trained(data: Interactions, config: Config) -> dict[str, Any]:
    """Train the largest network from random weights; return the NDCG@10 of each user (test, unseen)."""
    split = Split(data)
    torch.manual_seed(config.seed)
    stages = evaluators(split, config)
    network = build(config.model, split.items, space_for(config.model).largest(), causal=True)
    result = train(network, split, stages["validation"], config, CPU)
    ranks = stages["test"].evaluate(result.network.next_item).ranks["unseen"]
    return {
        "ndcg": per_user(ranks, "ndcg", 10).round(6).tolist(),
        "best_epoch": result.best_epoch,
        "seconds": result.seconds,
    }


def difference(narrow: list[list[float]], wide: list[list[float]]) -> tuple[float, float, float]:
    """Return the mean difference over users and seeds, with its 95 % percentile interval.

    Users and seeds are drawn with replacement, the same for both precisions.

    Args:
        narrow: NDCG of each user, per seed.
        wide: The same in float32.
    """
    each = np.asarray(narrow) - np.asarray(wide)
    seeds, users = each.shape
    generator = np.random.default_rng(0)
    means = [
        each[generator.integers(seeds, size=seeds)][:, generator.integers(users, size=users)].mean()
        for _ in range(DRAWS)
    ]
    return float(each.mean()), *map(float, np.quantile(means, (0.025, 0.975)))


def steps(data: Interactions, rounds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Time a training step in both precisions, alternately."""
    split = Split(data)
    for attention in ATTENTIONS:
        for gate_layers in (0, 2):
            sizes = {"model.gate_layers": gate_layers, "model.length": 200}
            config = config_of(attention, "float32", 0, 1).updated(sizes)
            batch, forms = typical_batch(split, config, config.train.batch), {}
            for precision in PRECISIONS:
                network = build(config.model, split.items, space_for(config.model).largest(), causal=True)
                settings = TrainConfig.model_validate(TRAIN | {"precision": precision})
                forms[precision] = Step(network, BatchLoss(settings, split.training.counts(split.items)), batch)
            times = time_alternately(forms, rounds)
            yield (
                f"{attention}, {gate_layers or 'no'} gate layers",
                {
                    "milliseconds": {name: interval(lambda s: 1e3 * s, each) for name, each in times.items()},
                    "ratio": ratio(times["float32"], times["bfloat16"]),
                    "rounds": rounds,
                },
            )


def page(record: dict[str, Any]) -> str:
    """Return the page of both tables."""
    environment, chosen = record["environment"], record["auto"]
    lines = heading("Precision of training", environment)
    lines += [
        f"`train.precision=auto` chooses {chosen} for softmax attention on this machine. bfloat16: linear layers and "
        "the products of the loss under torch's autocast; weights, sums, norms, the softmax and, on the CPU, attention "
        "in float32.",
        "",
        "## Accuracy",
        "",
        f"{record['data']}: {record['users']:,} users, {record['items']:,} items, leave-one-out. "
        f"{record['settings']}, {record['epochs']} epochs from random weights, the best in validation evaluated. "
        "NDCG@10 (test, unseen), mean over users and seeds; the difference is paired, its 95 % interval a bootstrap "
        f"over users and seeds. Trained at commit {', '.join(_commits(record))}.",
        "",
    ]
    rows = [_accuracy(attention, cells) for attention, cells in record["cells"].items()]
    lines.append(table(["attention", "seeds", *PRECISIONS, "difference", "interval"], rows))
    if record["steps"]:
        lines += [
            "",
            "## Time of a training step",
            "",
            f"{record['steps_data']}, the batch of median length of an epoch, the same sizes with N=200; both "
            "precisions timed alternately. The interval (95 %) is a bootstrap over the rounds of the ratio of medians.",
            "",
            table(
                ["network", *(f"{name}, ms" for name in PRECISIONS), "float32 / bfloat16", "interval"],
                [_step(name, each) for name, each in record["steps"].items()],
            ),
        ]
    return "\n".join([*lines, ""])


def _commits(record: dict[str, Any]) -> list[str]:
    """Return the commits of all trainings."""
    runs = [run for cells in record["cells"].values() for seeds in cells.values() for run in seeds.values()]
    return sorted({str(run["commit"]) for run in runs})


def _accuracy(attention: str, cells: dict[str, dict[str, Any]]) -> list[str]:
    wide, narrow = (cells.get(name, {}) for name in PRECISIONS)
    seeds = sorted(wide.keys() & narrow.keys(), key=int)
    if not seeds:
        return [attention, *["–"] * 5]
    of = [[run[seed]["ndcg"] for seed in seeds] for run in (wide, narrow)]
    mean, low, high = difference(of[1], of[0])
    means = [f"{np.mean(each):.4f}" for each in of]
    return [attention, ", ".join(seeds), *means, f"{mean:+.4f}", f"{low:+.4f} to {high:+.4f}"]


def _step(name: str, found: dict[str, Any]) -> list[str]:
    value, low, high = found["ratio"]
    times = [f"{found['milliseconds'][each][0]:,.0f}" for each in PRECISIONS]
    return [name, *times, f"{value:.2f}", f"{low:.2f} to {high:.2f}"]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="interactions to train on")
    parser.add_argument("--steps", type=Path, help="interactions of the timed steps; none are timed without")
    parser.add_argument("--cells", type=Path, default=Path("runs/precision"))
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    data = prepare(read_interactions(options.data), source=str(options.data))
    record: dict[str, Any] = {
        "environment": environment(CPU),
        "auto": chosen_precision("auto", CPU, {"softmax"}),
        "data": options.data.name,
        "users": data.statistics.users,
        "items": data.statistics.items,
        "epochs": options.epochs,
        "settings": f"d={MODEL['hidden']}, D={MODEL['inner']}, N={MODEL['length']}, {MODEL['layers']} layers, no gates",
        "cells": {attention: {} for attention in ATTENTIONS},
        "steps": {},
    }
    if options.steps:
        record["steps_data"] = options.steps.name
        for name, found in steps(prepare(read_interactions(options.steps)), options.rounds):
            record["steps"][name] = found
            print(f"{name}: float32 / bfloat16 {found['ratio'][0]:.2f}", flush=True)
            write(options.out, "precision", record, page(record))
    for seed in range(options.seeds):
        for attention in ATTENTIONS:
            for precision in PRECISIONS:
                cell = _cell(options.cells, data, attention, precision, seed, options.epochs)
                record["cells"][attention].setdefault(precision, {})[str(seed)] = cell
                print(f"{attention}, {precision}, seed {seed}: {np.mean(cell['ndcg']):.4f}", flush=True)
                write(options.out, "precision", record, page(record))


def _cell(folder: Path, data: Interactions, attention: str, precision: str, seed: int, epochs: int) -> dict[str, Any]:
    """Return a training from its file, or train and write the file; those of other data or settings are refused."""
    config = config_of(attention, precision, seed, epochs)
    identity = {"data": data.fingerprint, "settings": config.recorded()}
    return kept_cell(
        folder / f"{attention}-{precision}-{seed}.json",
        identity,
        lambda: {"commit": environment(CPU)["commit"], **trained(data, config)},
    )


if __name__ == "__main__":
    main()
