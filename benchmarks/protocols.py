"""Compare splits and ranking protocols on one file: popularity, last item, and a small network that a search found.

``python benchmarks/protocols.py OUT --data ml-100k.tsv.gz`` writes ``protocols.json`` and ``protocols.md``. The runs
are kept in a folder of their own (``--runs``); the same command continues an interrupted one.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from record import heading, write

from easrec import run
from easrec.data import Interactions, Split, prepare, read_interactions
from easrec.data.partition import by_time, points_of_shares, tied
from easrec.evaluation import PROTOCOLS, baseline_scores, standard_errors_at
from easrec.pipeline import evaluators
from easrec.result import RunResult, Stage
from elasticnas.report import environment, table

SETTINGS: dict[str, Any] = {
    "model": {"hidden": 64, "inner": 128, "length": 50, "layers": 2, "heads": 2},
    "search": {"epochs": 8, "batch": 64, "budget": "50%", "random_architectures": 2},
    "train": {"epochs": 60, "batch": 64, "validate_every": 3, "patience": 4},
    "compare": [],
    "cutoffs": [10],
    "early_stopping_metric": "unseen/ndcg@10",
}
SHARES = 0.8, 0.9  # of the interactions, before the validation and the test window
SPLITS = {"leave-one-out": "last", "global time": "time"}
METRICS = ("ndcg@10", "recall@10")
STAGES: tuple[Stage, ...] = ("validation", "test")


@dataclass(frozen=True)
class Timed:
    """Interactions with the time of each."""

    data: Interactions
    times: NDArray[np.int64]

    @property
    def points(self) -> tuple[int, int]:
        """Return the beginning of the validation and of the test window, in nanoseconds."""
        return points_of_shares(self.times, *SHARES)

    def split(self, kind: str) -> Interactions:
        """Return the interactions with a split."""
        if kind == "last":
            return self.data
        return replace(self.data, partition=by_time(self.times, self.data.offsets, *self.points))

    def ties(self, split: Split, stage: Stage) -> int:
        """Count the targets that have the same time as the interaction before or after them, of the same user."""
        return int(tied(self.times, self.data.offsets, split.users(stage), split.history(stage).stops).sum())


def read(path: Path) -> Timed:
    """Read interactions, and the time of each in the prepared order, which does not depend on the order of ties."""
    frame = read_interactions(path)
    data = prepare(frame, source=str(path))
    users = pl.DataFrame({"user": data.user_ids, "u": np.arange(len(data.user_ids))})
    kept = (
        frame.with_columns(pl.col("user").cast(pl.String))
        .unique(["user", "item", "time"])
        .join(users, on="user")
        .sort("u", "time")
    )
    assert len(kept) == len(data.items), "an item filter would need the kept items, too"
    return Timed(data, kept["time"].to_numpy().astype(np.int64))


def measure(timed: Timed, kind: str, folder: Path, seed: int) -> dict[str, Any]:
    """Run on one split; return its rows and counts."""
    data = timed.split(kind)
    result = run(data, "default", folder, settings=SETTINGS, seed=seed, resume=folder.exists(), device="cpu")
    split, found = Split(data), result.networks["found"]
    rows = untrained(split, result)
    rows["EASRec, found by search"] = {
        stage: {
            protocol: {name: [found.metrics[stage][protocol][name], errors[name]] for name in METRICS}
            for protocol, errors in found.standard_errors[stage].items()
        }
        for stage in STAGES
    }
    summary = result.data.split
    assert summary is not None
    return {
        "rows": rows,
        "counts": {
            stage: {
                "evaluated users": result.evaluated_users[stage],
                "cold users": summary.cold_users[stage],
                "cold targets": summary.cold_targets[stage],
                "repeat targets": round(result.repeat_targets[stage] * result.evaluated_users[stage]),
                "targets in a tie": timed.ties(split, stage),
                "fewest negatives": result.fewest_negatives[stage],
            }
            for stage in STAGES
        },
        "training users": summary.training_users,
        "training interactions": int(split.training.lengths.sum()),
        "architecture": found.sizes,
        "flops_share": found.flops / result.networks["largest"].flops,
        "still_improving": found.training is not None and found.training.still_improving,
        "seconds": result.seconds,
        "fingerprint": data.fingerprint,
    }


def untrained(split: Split, result: RunResult[Any]) -> dict[str, Any]:
    """Return metrics and standard errors of popularity and last item."""
    rows: dict[str, Any] = {}
    stages = evaluators(split, result.config)
    for label, score in baseline_scores(split.training, split.items).items():
        rows[label] = {}
        for stage, evaluator in stages.items():
            report = evaluator.evaluate(score)
            errors = {name: standard_errors_at(ranks, (10,)) for name, ranks in report.ranks.items()}
            rows[label][stage] = {
                protocol: {name: [values[name], errors[protocol][name]] for name in METRICS}
                for protocol, values in report.items()
            }
    return rows


def page(record: dict[str, Any]) -> str:
    """Return the page: a table of the test metrics of each split, and what the split evaluates."""
    lines = heading("Splits and protocols", record["environment"])
    lines += [
        f"{record['data']}: {record['users']:,} users, {record['items']:,} items, {record['interactions']:,} "
        f"interactions; seed {record['seed']}. Test metrics ± standard errors over the evaluated users. Global time: "
        f"validation begins at {SHARES[0]:.0%} of the interactions ({record['points'][0]}), test at {SHARES[1]:.0%} "
        f"({record['points'][1]}).",
    ]
    for name, found in record["splits"].items():
        lines += ["", f"## {name.capitalize()}", "", *_section(found)]
    lines += [
        "",
        "A target in a tie has the same time as the user's interaction before or after it, so that the order of ties "
        "(seeded, random) decides about it. `unseen` counts a repeat target as a miss. Figures of different splits "
        "have different targets and users, and are not comparable.",
        "",
    ]
    return "\n".join(lines)


def _section(found: dict[str, Any]) -> list[str]:
    head = ["", *(f"{p} {'NDCG@10' if name == 'ndcg@10' else 'Recall@10'}" for p in PROTOCOLS for name in METRICS)]
    rows = [
        [label, *(_cell(stages["test"][protocol][name]) for protocol in PROTOCOLS for name in METRICS)]
        for label, stages in found["rows"].items()
    ]
    counts = [[key, *(f"{found['counts'][stage][key]:,}" for stage in STAGES)] for key in found["counts"]["test"]]
    improving = " It was still improving in the last epoch." if found["still_improving"] else ""
    return [
        table(head, rows),
        "",
        table(["", *STAGES], counts),
        "",
        f"{found['training interactions']:,} interactions of {found['training users']:,} users train. The found "
        f"network has {found['architecture']} (hidden, inner, layers), {found['flops_share']:.0%} of the FLOPs of the "
        f"largest; search and training took {found['seconds'] / 60:.1f} min.{improving}",
    ]


def _cell(figure: list[float]) -> str:
    return f"{figure[0]:.4f} ± {figure[1]:.4f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/protocols"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    timed = read(options.data)
    found = {}
    for name, kind in SPLITS.items():
        print(f"{name}:", flush=True)
        found[name] = measure(timed, kind, options.runs / f"{kind}-{options.seed}", options.seed)
    counts = timed.data.statistics
    record = {
        "environment": environment(torch.device("cpu")),
        "data": options.data.name,
        "users": counts.users,
        "items": counts.items,
        "interactions": counts.interactions,
        "seed": options.seed,
        "settings": SETTINGS,
        "shares": SHARES,
        "points": [str(np.datetime64(point, "ns").astype("datetime64[s]")) for point in timed.points],
        "splits": found,
    }
    write(options.out, "protocols", record, page(record))


if __name__ == "__main__":
    main()
