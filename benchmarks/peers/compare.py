"""Compare the speed of RecBole and the recipe: training and evaluation of the same network on the same interactions.

``make recbole`` builds RecBole's environment; ``python benchmarks/peers/compare.py docs/results --data ml-1m.tsv.gz``
then writes ``recbole.json`` and ``recbole.md`` after every round. The file is tab-separated with the columns
``user_id`` and ``item_id``; row order is time order.

On ML-1M, RecBole's training needs about 11 MB per prefix with softmax and 7 MB with LinRec, plus 5 GB of data:
``--prefixes 2048``, its default, needs 28 GB, ``--prefixes 1024`` 17 GB.
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks.interval import interval, ratio
from benchmarks.peers.ours import Ours
from benchmarks.peers.page import page
from benchmarks.peers.peer import Peer
from benchmarks.record import write
from elasticnas.report import environment

TRAINING_RATIOS = {"softmax": 700, "linrec": 200}
EVALUATION_SECONDS = 6.0
MODES = {"full": "full", "uni100": "pop100", "pop100": "pop100"}  # RecBole's mode: ours
MEASURES = [(what, attention) for attention in TRAINING_RATIOS for what in ("train", *MODES)]


def measure(
    peer: Peer, ours: Ours, sides: dict[str, Any], options: argparse.Namespace, what: str, attention: str, number: int
) -> tuple[float, float]:
    """Return the seconds for the complete work, RecBole's and ours, timed one after the other."""
    if what == "train":
        theirs = peer.ask("train", attention=attention, batches=options.recbole_batches)
        own = ours.train(attention, options.own_batches, number)
        sides["peak_memory_bytes"] = max(sides["peak_memory_bytes"], theirs["peak_memory_bytes"])
        return (
            scaled(theirs["seconds"], theirs["targets"], sides["targets"]),
            scaled(own["seconds"], own["targets"], ours.targets),
        )
    users = options.users if what == "full" else options.sampled_users
    theirs = peer.ask("evaluate", attention=attention, mode=what, users=users)
    own = ours.evaluate(attention, MODES[what], number)
    return scaled(theirs["seconds"], theirs["users"], sides["users"]), own["seconds"]


def figure(what: str, attention: str, seconds: list[tuple[float, float]], users: tuple[int, int]) -> dict[str, Any]:
    """Return one row of the table; ``users`` are the number timed in RecBole and the total."""
    theirs, own = ([pair[side] for pair in seconds] for side in (0, 1))
    train = what == "train"
    return {
        "what": what,
        "attention": attention,
        "recbole_seconds": theirs,
        "recbole_extrapolated": train or users[0] < users[1],
        "own_seconds": own,
        "own_extrapolated": train,
        "ratio": list(ratio(theirs, own)),
        "own": list(interval(lambda seconds: seconds, own)),
        **({"target_ratio": TRAINING_RATIOS[attention]} if train else {"target_seconds": EVALUATION_SECONDS}),
    }


def scaled(seconds: float, done: int, whole: int) -> float:
    """Extrapolate to the complete work: ``done`` of ``whole`` parts took ``seconds``."""
    return seconds * whole / done


def compare(options: argparse.Namespace) -> None:
    ours = Ours(options.data, options.threads)
    config = ours.config("softmax")
    record: dict[str, Any] = {
        "data": {"file": options.data.name, **ours.described()},
        "ours": {"targets": ours.targets, "batches": ours.batches(config), "settings": config.model_dump(mode="json")},
        "whole": {attention: ours.epoch(attention) for attention in TRAINING_RATIOS} if options.whole else {},
        "accuracy": None,
        "environment": environment(torch.device("cpu")),
    }
    if options.accuracy:
        risen = ours.reach("softmax", options.accuracy)
        record["accuracy"] = {"minutes": options.accuracy, "levels": options.levels, "risen": risen}
    with Peer(options.python, "RecBole", "use fewer --prefixes") as peer:
        sides = record["recbole"] = peer.ask(
            "open",
            data=str(options.data.resolve()),
            threads=options.threads,
            prefixes=options.prefixes,
            attention_dropout=options.attention_dropout,
            seed=options.seed,
        )
        if sides["targets"] != ours.targets:
            raise SystemExit(
                f"{options.data}: RecBole trains on {sides['targets']} targets, ours on {ours.targets}; the comparison "
                "needs users with 3 or more interactions, no duplicate rows, and rows in time order"
            )
        record["sample"] = {
            "recbole_batches": options.recbole_batches,
            "own_batches": min(options.own_batches, record["ours"]["batches"] - 1),
            "users": min(options.users, sides["users"]),
            "sampled_users": min(options.sampled_users, sides["users"]),
        }
        for attention in TRAINING_RATIOS:  # not timed: warm-up
            peer.ask("train", attention=attention, batches=1)
            ours.train(attention, 1, options.seed)
        found: dict[tuple[str, str], list[tuple[float, float]]] = {each: [] for each in MEASURES}
        for number in range(options.rounds):
            for what, attention in MEASURES:
                pair = measure(peer, ours, sides, options, what, attention, options.seed + number)
                found[what, attention].append(pair)
                print(
                    f"round {number + 1}: {what}, {attention}: RecBole {pair[0]:.1f} s, ours {pair[1]:.2f} s",
                    flush=True,
                )
            timed = {what: record["sample"]["users" if what == "full" else "sampled_users"] for what in MODES}
            record["rounds"] = number + 1
            record["figures"] = [
                figure(*each, seconds, (timed.get(each[0], 0), sides["users"])) for each, seconds in found.items()
            ]
            write(options.out, "recbole", record, page(record))
    for row in record["figures"]:
        value, low, high = row["ratio"]
        print(f"{row['what']}, {row['attention']}: RecBole / ours {value:.1f} ({low:.1f} to {high:.1f})")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--python", type=Path, default=Path(__file__).parents[2] / ".venv-recbole/bin/python")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prefixes", type=int, default=2048, help="prefixes in a training batch of RecBole")
    parser.add_argument("--attention-dropout", type=float, help="dropout of RecBole's softmax attention")
    parser.add_argument("--recbole-batches", type=int, default=1, help="RecBole's batches per round")
    parser.add_argument("--own-batches", type=int, default=20, help="our batches per round")
    parser.add_argument("--users", type=int, default=1024, help="users per round in full ranking")
    parser.add_argument("--sampled-users", type=int, default=40, help="users per round with negatives")
    parser.add_argument("--whole", action="store_true", help="also time one complete epoch of ours")
    parser.add_argument("--accuracy", type=float, metavar="MINUTES", help="also train ours for this time")
    parser.add_argument("--levels", type=float, nargs="+", default=[0.05, 0.08, 0.1, 0.12, 0.13, 0.14, 0.15])
    compare(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
