"""What cosine scores, sampled softmax and a bias by time are worth: one small network, trained with each.

``python benchmarks/times_and_scores.py docs/results --data ml-100k.tsv.gz`` writes ``times-and-scores.json`` and
``.md`` after every cell. A finished cell is one file in ``--cells``; the same command continues an interrupted one.
``--variant`` (repeatable) chooses among the settings, and ``--name`` names the files.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from cell import kept_cell
from record import heading, write

from easrec.config import Config
from easrec.data import Interactions, Split, prepare, read_interactions
from easrec.evaluation import standard_errors_at
from easrec.model import build
from easrec.pipeline import evaluators
from easrec.space import space_for
from easrec.training import train
from elasticnas.report import environment, table

BASE: dict[str, Any] = {
    "model": {"hidden": 64, "inner": 128, "length": 50, "layers": 2, "heads": 2, "gate_layers": 0},
    "train": {"batch": 64, "patience": 1000, "validate_every": 1},
    "cutoffs": [10],
}
SAMPLED = {
    "train.loss": "sampled",
    "train.sampled_items": 128,
    "train.sampled_from": "uniform",
    "train.sampled_correction": False,
}
COSINE = {"model.scores": "cosine", "model.temperature": 0.05}
VARIANTS: dict[str, dict[str, Any]] = {
    "dot products, full softmax": {},
    "cosine / 0.05, full softmax": COSINE,
    "cosine / 0.05, 128 uniform negatives": COSINE | SAMPLED,
    "dot products, full softmax, time bias own": {"model.time_bias": "own"},
    "dot products, full softmax, time bias target": {"model.time_bias": "target"},
    "dot products, 128 uniform negatives": SAMPLED,
}
ATTENTIONS = ("softmax", "hstu")
METRIC = "ndcg@10"
PROTOCOLS = ("unseen", "full")


def changes_of(attention: str, variant: str, seed: int, epochs: int) -> dict[str, Any]:
    """Return the settings of a cell that differ from ``BASE``."""
    return {"model.attention": attention, "seed": seed, "train.epochs": epochs} | VARIANTS[variant]


def measure(data: Interactions, config: Config) -> dict[str, Any]:
    """Train the largest network from random weights; return the test metrics of its best epoch in validation."""
    split = Split(data, config.model.uses_times)
    torch.manual_seed(config.seed)
    stages, started = evaluators(split, config), time.perf_counter()
    network = build(config.model, split.items, space_for(config.model).largest(), causal=True)
    trained = train(network, split, stages["validation"], config, torch.device("cpu"))
    report = stages["test"].evaluate(trained.network.next_item)
    return {
        "metrics": {name: report[name][METRIC] for name in PROTOCOLS},
        "standard_errors": {name: standard_errors_at(report.ranks[name], (10,))[METRIC] for name in PROTOCOLS},
        "best_epoch": trained.best_epoch,
        "seconds": time.perf_counter() - started,
    }


def page(record: dict[str, Any]) -> str:
    """Return the page: one row per attention and variant."""
    runs = [run for variants in record["cells"].values() for seeds in variants.values() for run in seeds.values()]
    commits = ", ".join(sorted({str(run["commit"]) for run in runs}))
    lines = heading("Times and scores", record["environment"])
    lines += [
        f"{record['data']}: {record['users']:,} users, {record['items']:,} items, {record['interactions']:,} "
        f"interactions, leave-one-out. {record['settings']}, {record['epochs']} epochs, the best in validation "
        f"evaluated. Test NDCG@10 ± standard error over users, means over seeds. Cells measured at commit {commits}."
    ]
    for attention, variants in record["cells"].items():
        rows = [_row(name, seeds) for name, seeds in variants.items()]
        lines += ["", f"## {attention}", "", table(["", "seeds", *PROTOCOLS, "best epoch"], rows)]
    lines += [
        "",
        "128 uniform negatives: cross entropy among the target and 128 items drawn uniformly for each batch, without a "
        "correction. Time bias `own`: by the time from each earlier event to the one that asks. `target`: to the event "
        "after it, whose time is then an input: another task, whose figures do not compare with the others.",
        "",
    ]
    return "\n".join(lines)


def _row(name: str, seeds: dict[str, dict[str, Any]]) -> list[str]:
    runs = list(seeds.values())
    figures = [
        f"{statistics.mean(run['metrics'][p] for run in runs):.4f} ± "
        f"{statistics.mean(run['standard_errors'][p] for run in runs):.4f}"
        for p in PROTOCOLS
    ]
    return [name, ", ".join(seeds), *figures, ", ".join(str(run["best_epoch"]) for run in runs)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cells", type=Path, default=Path("runs/times-and-scores"))
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds, from 0")
    parser.add_argument("--variant", action="append", choices=list(VARIANTS), help="only this one; repeatable")
    parser.add_argument("--name", default="times-and-scores", help="name of the files in OUT")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    data = prepare(read_interactions(options.data), source=str(options.data))
    cells: dict[str, Any] = {}
    for seed in range(options.seeds):
        for variant in options.variant or VARIANTS:
            for attention in ATTENTIONS:
                changes = changes_of(attention, variant, seed, options.epochs)
                done = _cell(options.cells, data, changes, f"{attention}-{variant}-{seed}")
                cells.setdefault(attention, {}).setdefault(variant, {})[str(seed)] = done
                print(f"{attention}, {variant}, seed {seed}: {done['metrics']['unseen']:.4f}", flush=True)
                record = _record(data, cells, options)
                write(options.out, options.name, record, page(record))


def _record(data: Interactions, cells: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    counts, model = data.statistics, BASE["model"]
    return {
        "environment": environment(torch.device("cpu")),
        "data": options.data.name,
        "users": counts.users,
        "items": counts.items,
        "interactions": counts.interactions,
        "epochs": options.epochs,
        "settings": f"d={model['hidden']}, N={model['length']}, {model['layers']} layers, no gates",
        "cells": cells,
    }


def _cell(folder: Path, data: Interactions, changes: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a cell from its file, or measure it and write the file; cells of other data or settings are refused."""
    path = folder / f"{''.join(c if c.isalnum() or c == '.' else '-' for c in name)}.json"
    identity = {"data": data.fingerprint, "base": BASE, "changes": changes}
    return kept_cell(
        path,
        identity,
        lambda: {
            "commit": environment(torch.device("cpu"))["commit"],
            **measure(data, Config().updated(BASE).updated(changes)),
        },
    )


if __name__ == "__main__":
    main()
