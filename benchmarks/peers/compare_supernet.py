"""Compare a training step of the supernet with whittle's, ModelOpt's and masks': GPT-2 small by the sandwich rule.

``make supernet-peers`` builds the environments; ``python benchmarks/peers/compare_supernet.py docs/results`` then
writes ``supernet-peers.json`` and ``.md`` after every round. A finished round is one file in ``--cells``; the same
command continues an interrupted run.
"""

import argparse
import hashlib
import os
import random
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from benchmarks.cell import kept_cell
from benchmarks.peers.peer import Peer
from benchmarks.peers.sandwich import Arch, Sandwich
from benchmarks.peers.supernet_ours import Sizes, own_side
from benchmarks.peers.supernet_page import page
from benchmarks.record import write
from elasticnas.report import environment

ROOT = Path(__file__).parents[2]
SEARCHED = {"all": ("heads", "inner", "depth"), "inner and depth": ("inner", "depth")}
SAME = "ours, model of ModelOpt"
SIDES = {"all": ("ours", "whittle", "masks"), "inner and depth": ("ours", SAME, "whittle", "ModelOpt")}
"""The sides that run each space; AutoNAS does not search heads."""

Ask = Callable[..., dict[str, Any]]


def architectures(space: str, seed: int) -> list[Arch]:
    """Return the largest, the smallest and two random architectures; sizes that are not searched stay the largest."""
    options, rng = Sizes.choices(), random.Random(seed)

    def chosen(take: Callable[[tuple[int, ...]], int]) -> Arch:
        return {name: take(found) if name in SEARCHED[space] else max(found) for name, found in options.items()}

    return [chosen(max), chosen(min), chosen(rng.choice), chosen(rng.choice)]


def measure_round(sides: dict[str, Ask], number: int) -> dict[str, Any]:
    """Take one step of every side in every space; the order of the sides is reversed from round to round."""
    found: dict[str, Any] = {}
    for space, names in SIDES.items():
        archs = architectures(space, number)
        steps = {name: sides[name]("step", archs=archs, seed=number) for name in names[:: -1 if number % 2 else 1]}
        found[space] = {"archs": archs, "steps": {name: steps[name] for name in names}}
    return found


def open_sides(options: argparse.Namespace, stack: ExitStack) -> dict[str, Ask]:
    """Open our side and one process per peer; masks run in our environment."""
    sizes = {"vocabulary": options.vocabulary, "batch": (options.batch, options.length), "threads": options.threads}
    pythons = {name: ROOT / f".venv-{name.lower()}/bin/python" for name in ("whittle", "ModelOpt")}
    peers = {name: stack.enter_context(Peer(python, name)) for name, python in pythons.items()}
    peers["masks"] = stack.enter_context(Peer(Path(sys.executable), "masks"))
    largest = Sizes.largest().model_dump()
    sides: dict[str, Ask] = {name: peer.ask for name, peer in peers.items()}
    for ask in sides.values():
        ask("open", largest=largest, **sizes)
    return {"ours": _asked(own_side("transformers", **sizes)), SAME: _asked(own_side("plain", **sizes)), **sides}


def _asked(side: Sandwich) -> Ask:
    """Return a function that calls our side as a peer is asked."""
    return lambda do, **arguments: getattr(side, do)(**arguments)


def opening(sides: dict[str, Ask]) -> dict[str, Any]:
    """Describe every side, and count the sub-networks of a first step."""
    counted = {
        space: {name: [sides[name]("count", arch=arch) for arch in architectures(space, 0)] for name in SIDES[space]}
        for space in SIDES
    }
    return {"described": {name: ask("describe") for name, ask in sides.items()}, "counted": counted}


def _sources() -> str:
    """Return a digest of the files that the sides run: rounds of other code are refused."""
    files = sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in (".py", ".txt"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def compare(options: argparse.Namespace) -> None:
    settings = {name: getattr(options, name) for name in ("vocabulary", "batch", "length", "threads")}
    record: dict[str, Any] = {
        "settings": settings,
        "load": {"before": os.getloadavg()[0], "cores": os.cpu_count()},
        "environment": environment(torch.device("cpu")) | {"threads": options.threads},
        "rounds": [],
    }
    with ExitStack() as stack:
        sides = open_sides(options, stack)
        identity = settings | {"sources": _sources()}
        record |= kept_cell(options.cells / "opening.json", identity, lambda: opening(sides))
        paths = [options.cells / f"round-{number}.json" for number in range(options.rounds)]
        if not all(path.exists() for path in paths):
            measure_round(sides, options.rounds)  # the warm-up, on architectures that no round has
        for number, path in enumerate(paths):
            found = kept_cell(path, identity, lambda number=number: measure_round(sides, number))  # type: ignore[misc]
            record["rounds"].append(found)
            for space, measured in found.items():
                seconds = ", ".join(f"{name} {step['seconds']:.2f}" for name, step in measured["steps"].items())
                print(f"round {number + 1}, {space}: {seconds}", flush=True)
            write(options.out, "supernet-peers", record, page(record))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cells", type=Path, default=Path("runs/supernet-peers"))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--vocabulary", type=int, default=50_257)
    parser.add_argument("--batch", type=int, default=2, help="sequences of a step")
    parser.add_argument("--length", type=int, default=128, help="tokens of a sequence")
    compare(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
