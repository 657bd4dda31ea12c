"""Compare the speed of RecTools and the recipe: training on all positions with cross entropy, and recommending.

``make peers`` builds RecTools' environment; ``python benchmarks/peers/compare_rectools.py docs/results --data
ml-1m.tsv.gz`` then writes ``rectools.json`` and ``rectools.md`` after every round. The file is tab-separated with the
columns ``user_id`` and ``item_id``; row order is time order. ``--accuracy MINUTES`` also trains both to a level of
accuracy, each for up to that time.
"""

import argparse
import json
import os
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import torch

from benchmarks.interval import interval, ratio
from benchmarks.peers.accuracy import race
from benchmarks.peers.ours import Ours
from benchmarks.peers.peer import Peer
from benchmarks.peers.rectools_page import page
from benchmarks.record import write
from easrec.precision import chosen_precision
from elasticnas.report import environment

SETTINGS = {"n_blocks": 2, "n_heads": 4, "n_factors": 128, "session_max_len": 200, "loss": "softmax"}
OURS = {"model.inner": 128, "early_stopping_metric": "unseen/ndcg@10"}  # inner: RecTools' is its n_factors
TOP = 10
TRAINING_RATIO, EVALUATION_SECONDS = 6.0, 2.0
LEFT_OUT = 2  # items of every user: the targets of validation and test


def rate(done: dict[str, Any]) -> float:
    """Return targets per second."""
    return float(done["targets"] / done["seconds"])


def measure_round(
    peer: Peer, opened: dict[str, Any], ours: Ours, options: argparse.Namespace, number: int
) -> dict[str, tuple[float, float]]:
    """Return RecTools' and our figure of each measurement; the order of the sides is reversed from round to round."""
    seed = options.seed + number
    theirs, own = (
        lambda: (peer.ask("train", batches=options.peer_batches, seed=seed), peer.ask("recommend", top=TOP)),
        lambda: (
            ours.train("softmax", options.own_batches, seed),
            ours.train("softmax", options.own_batches, seed, "auto"),
            ours.recommend("softmax", TOP, seed),
            ours.evaluate("softmax", "unseen", seed),
        ),
    )
    if number % 2:
        (own_train, own_auto, own_lists, own_ranks), (train, lists) = own(), theirs()
    else:
        (train, lists), (own_train, own_auto, own_lists, own_ranks) = theirs(), own()
    opened["peak_memory_bytes"] = train["peak_memory_bytes"]
    if lists["rows"] != own_lists["rows"]:
        raise SystemExit(f"RecTools recommends {lists['rows']} items, ours {own_lists['rows']}: not the same work")
    return {
        "train": (rate(train), rate(own_train)),
        "train, auto": (rate(train), rate(own_auto)),
        "recommend": (lists["seconds"], own_lists["seconds"]),
        "rank": (lists["seconds"], own_ranks["seconds"]),
    }


def figure(what: str, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """Return one row of the table; its ratio is how many times as fast ours is."""
    theirs, own = ([pair[side] for pair in pairs] for side in (0, 1))
    trains = what.startswith("train")
    faster = ratio(own, theirs) if trains else ratio(theirs, own)
    wanted = {"target_ratio": TRAINING_RATIO}
    targets = {"train": wanted, "train, auto": wanted, "rank": {"target_seconds": EVALUATION_SECONDS}}
    return {
        "what": what,
        "rectools": theirs,
        "own": own,
        "ratio": list(faster),
        "own_interval": list(interval(lambda value: value, own)),
        **targets.get(what, {}),
    }


def open_peer(peer: Peer, ours: Ours, threads: int) -> dict[str, Any]:
    """Give RecTools the sequences of our split, and return its description.

    Raises:
        SystemExit: Its training interactions are not those of our split.
    """
    complete, names = ours.split.complete(), ours.data.item_ids
    sequences = {str(user): [names[item] for item in complete[user]] for user in range(len(complete))}
    (peer.folder / "sequences.json").write_text(json.dumps(sequences), encoding="utf-8")
    opened = peer.ask("open", sequences="sequences.json", settings=SETTINGS, threads=threads)
    interactions = int(ours.split.training.lengths.sum())
    if opened["interactions"] != interactions or opened["users"] != len(ours.split.users("test")):
        raise SystemExit(
            f"RecTools has {opened['interactions']} training interactions, ours {interactions}: the comparison needs "
            f"{LEFT_OUT + 1} interactions or more of every user"
        )
    return opened


def compare(options: argparse.Namespace) -> None:
    ours = Ours(options.data, options.threads, OURS)
    config = ours.config("softmax")
    record: dict[str, Any] = {
        "data": {"file": options.data.name, **ours.described()},
        "ours": {"targets": ours.targets, "batches": ours.batches(config), "settings": config.model_dump(mode="json")},
        "sample": {
            "rectools_batches": options.peer_batches,
            "own_batches": min(options.own_batches, ours.batches(config) - 1),
            "top": TOP,
        },
        "accuracy": None,
        "auto": chosen_precision("auto", torch.device("cpu"), {"softmax"}),
        "load": {"before": os.getloadavg()[0], "cores": os.cpu_count()},
        "environment": environment(torch.device("cpu")),
    }
    with Peer(options.python, "RecTools") as peer:
        record["rectools"] = open_peer(peer, ours, options.threads)
        found: dict[str, list[tuple[float, float]]] = {}
        for number in range(options.rounds):
            for what, pair in measure_round(peer, record["rectools"], ours, options, number).items():
                found.setdefault(what, []).append(pair)
                print(f"round {number + 1}: {what}: RecTools {pair[0]:.1f}, ours {pair[1]:.1f}", flush=True)
            record["rounds"] = number + 1
            record["figures"] = [figure(what, pairs) for what, pairs in found.items()]
            record["ours"]["peak_memory_bytes"] = getrusage(RUSAGE_SELF).ru_maxrss * 1024
            write(options.out, "rectools", record, page(record))
        if options.accuracy:
            record["accuracy"] = {"minutes": options.accuracy, "level": options.level, "runs": []}
            for seed in range(options.seed, options.seed + options.seeds):
                print(f"training to {options.level:g}, seed {seed}", flush=True)
                record["accuracy"]["runs"].append(race(ours, peer, options.level, options.accuracy, seed))
                write(options.out, "rectools", record, page(record))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--python", type=Path, default=Path(__file__).parents[2] / ".venv-rectools/bin/python")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer-batches", type=int, default=8, help="RecTools' training batches per round")
    parser.add_argument("--own-batches", type=int, default=40, help="our training batches per round")
    parser.add_argument("--accuracy", type=float, metavar="MINUTES", help="also train both to --level, each this long")
    parser.add_argument("--level", type=float, default=0.17, help="NDCG@10 among unseen items, validation")
    parser.add_argument("--seeds", type=int, default=1, help="trainings to the level")
    compare(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
