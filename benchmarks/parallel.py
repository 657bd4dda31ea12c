"""Compare two processes with one: every cell of the table, what is refused, and the time of a training step.

``python benchmarks/parallel.py docs/results`` writes ``parallel.json`` and ``parallel.md``; it takes about six minutes
on two cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from record import heading, write

from elasticnas.report import environment

sys.path.append(str(Path(__file__).parents[1]))  # for the tests, whose cells these are

from tests.parallel.cells import WRAPPERS
from tests.parallel.launching import environment as variables
from tests.parallel.launching import launched, torchrun

NAMES = {
    "ddp": "DDP",
    "ddp-unused": "DDP, find_unused_parameters",
    "fsdp": "FSDP2",
    "fsdp-blocks": "FSDP2, by blocks",
    "run-ddp": 'Run(parallel="ddp")',
    "run-fsdp": 'Run(parallel="fsdp")',
}
STEPS: dict[str, tuple[int, list[str]]] = {
    "1 process, 1 thread": (1, []),
    "1 process, 2 threads": (1, ["--threads", "2"]),
    "2 processes, 1 thread each, DDP": (2, ["--parallel", "ddp"]),
    "2 processes, 1 thread each, FSDP2": (2, ["--parallel", "fsdp"]),
}


def cells(folder: Path, only: list[str]) -> dict[str, dict[str, Any]]:
    """Return, by wrapper and cell, the largest difference from one process on any rank."""
    given = ["--only", *only] if only else []
    launched("tests.parallel.cells", ["one", folder, *given])
    found: dict[str, dict[str, Any]] = {}
    for kind in WRAPPERS:
        launched("tests.parallel.cells", [kind, folder, *given], torchrun())
        ranks = [torch.load(folder / f"{kind}-rank{rank}.found", weights_only=True) for rank in (0, 1)]
        found[kind] = {name: max((each[name] for each in ranks), key=_order) for name in ranks[0]}
        print(f"{NAMES[kind]}: at most {max(found[kind].values(), key=_order)}", flush=True)
    return found


def _order(difference: Any) -> float:
    return difference if isinstance(difference, float) else float("inf")


def recipe(folder: Path) -> float:
    """Return the largest difference between the weights of EASRec's found network from one process and from two."""
    from safetensors.torch import load_file

    for name, launcher in {"one": [], "two": torchrun()}.items():
        launched("tests.easrec.parallel_run", [folder / name, "{}"], launcher)
    one, two = (load_file(folder / name / "model" / "model.safetensors") for name in ("one", "two"))
    # softmax does not depend on the bias of keys: its gradient is the rounding error, which Adam scales up
    return max(float((one[name] - two[name]).abs().max()) for name in one if not name.endswith("key.bias"))


def refused(folder: Path) -> dict[str, str]:
    """Return what two processes refuse, and the message."""
    launched("tests.parallel.refusals", [folder], torchrun())
    found: dict[str, str] = torch.load(folder / "refused-0")
    warned = {name for name in found if name.endswith(", a warning")}
    return {name: text.partition(": ")[2] if name in warned else text for name, text in found.items()}


def steps(folder: Path, rounds: int, count: int) -> dict[str, float]:
    """Return the median milliseconds of a step, over rounds in turns, so that a slow minute affects all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in STEPS}
    script = str(Path(__file__).with_name("parallel_steps.py"))
    for _ in range(rounds):
        for name, (processes, options) in STEPS.items():
            launcher = ["-m", *torchrun(processes)[:-1]] if processes > 1 else []
            file = folder / "steps.json"
            command = [sys.executable, *launcher, script, str(file), "--steps", str(count), *options]
            subprocess.run(command, env=variables() | {"PYTHONWARNINGS": "ignore"}, check=True, capture_output=True)
            seconds[name] += json.loads(file.read_text())
    return {name: 1e3 * statistics.median(values) for name, values in seconds.items()}


def page(record: dict[str, Any]) -> str:
    """Return the page of a record."""
    found, kinds = record["cells"], list(record["cells"])
    largest = max((value for each in found.values() for value in each.values()), key=_order)
    lines = heading("Several processes", record["environment"])
    lines += [
        "Each cell is the same work, in float64, by one process and by two gloo processes with the same global "
        "batches. The figure is the largest absolute difference of weights, losses, metrics and probabilities, on any "
        "rank; the architectures are equal, or the figure would be inf. The largest of all is "
        f"**{_shown(largest)}**. [several-processes.md](../several-processes.md) says how to use it.",
        "",
        "| work | " + " | ".join(NAMES[kind] for kind in kinds) + " |",
        "|---|" + "---:|" * len(kinds),
    ]
    for name in found[kinds[0]]:
        lines.append(f"| {name} | " + " | ".join(_shown(found[kind].get(name, "refused")) for kind in kinds) + " |")
    lines += [
        "",
        f"A run of EASRec (search, training, evaluation) under torchrun: metrics are equal to the last bit, weights to "
        f"{_shown(record['recipe'])}, except for the bias of keys, whose gradient is rounding error (at most 1e-9).",
        "",
        "## Refused",
        "",
        "| what | message on every rank |",
        "|---|---|",
        *(f"| {name} | {message} |" for name, message in record["refused"].items()),
        "",
        "## Time of a training step",
        "",
        f"Median of a sandwich step of three architectures on {os.cpu_count()} cores: a transformer of 4 layers, width "
        "128, 32 sequences of 64 tokens in total. The "
        f"load of the machine before was {record['load']:.1f}"
        + ("." if record["load"] < 1 else ": other work used the cores too, so that only large ratios mean something."),
        "",
        "| | ms per step | of one process with 1 thread |",
        "|---|---:|---:|",
    ]
    base = record["steps_ms"]["1 process, 1 thread"]
    lines += [f"| {name} | {value:.0f} | {value / base:.2f} |" for name, value in record["steps_ms"].items()]
    return "\n".join(lines) + "\n"


def _shown(difference: Any) -> str:
    return f"{difference:.1e}" if isinstance(difference, float) else str(difference)


def main(arguments: list[str] | None = None) -> None:
    """Measure everything, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", action="append", default=[], help="A cell; repeat for several. All by default.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--steps-only", action="store_true", help="Time steps again, and keep the rest of the file.")
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as name:
        folder = Path(name)
        if options.steps_only:
            record = json.loads((options.out / "parallel.json").read_text())
            record["load"] = os.getloadavg()[0]
            record["steps_ms"] = steps(folder, options.rounds, options.steps)
            write(options.out, "parallel", record, page(record))
            return
        record = {
            "environment": environment(torch.device("cpu")),
            "load": os.getloadavg()[0],
            "steps_ms": steps(folder, options.rounds, options.steps),
            "cells": cells(folder, options.only),
            "recipe": recipe(folder),
            "refused": refused(folder),
        }
    write(options.out, "parallel", record, page(record))


if __name__ == "__main__":
    main()
