"""What elasticnas costs: ratios, each measured in one run.

``python benchmarks/bench.py docs/results`` (``make bench``) writes ``bench.json`` and ``bench.md``; ``--only`` measures
some parts anew and leaves the others of an existing file as they are.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from bench_page import page
from record import write
from speed import PARTS
from speed.scale import FULL, QUICK, Scale

from elasticnas.cli.options import prepare
from elasticnas.report import environment


def run(name: str, scale: Scale) -> dict[str, Any]:
    """One part, with what it was measured by."""
    part, started = PARTS[name], time.perf_counter()
    torch.manual_seed(0)
    record = part.measure(scale).record()
    return {
        "title": part.TITLE,
        "text": part.TEXT,
        **record,
        "sizes": scale.record(),
        "seconds": time.perf_counter() - started,
        "environment": environment(torch.device("cpu")),
    }


def show(record: dict[str, Any]) -> None:
    """The rows of a part, while the others are still measured."""
    print(f"{record['title']} ({record['seconds']:.0f} s)", flush=True)
    for row in record["rows"]:
        target = "" if row["target"] is None else f", target {row['target']:g}: {'met' if row['met'] else 'not met'}"
        shown = f"{row['value']:.4g} ({row['low']:.4g} to {row['high']:.4g}) {row['unit']}".rstrip()
        print(f"  {row['name']}: {shown}{target}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write after every part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", action="append", choices=list(PARTS), help="A part; may be given several times.")
    parser.add_argument("--quick", action="store_true", help="Tiny sizes: shows that everything runs.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, help="Interactions to train on, instead of random ones.")
    given = parser.parse_args(arguments)
    prepare(given.threads)
    scale, existing = (QUICK if given.quick else FULL).on(given.data), given.out / "bench.json"
    before = json.loads(existing.read_text())["parts"] if given.only and existing.exists() else {}
    for name in given.only or PARTS:
        before[name] = run(name, scale)
        show(before[name])
        record = {"parts": {each: before[each] for each in PARTS if each in before}}
        write(given.out, "bench", record, page(record))


if __name__ == "__main__":
    main()
