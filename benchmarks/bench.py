"""What elasticnas costs: ratios, each measured in one run.

``python benchmarks/bench.py docs/results`` (``make bench``) writes ``bench.json`` and ``bench.md``; ``--only`` measures
some parts anew and leaves the others of an existing file as they are; ``--before`` puts the figures of an earlier
``bench.json``, of this benchmark with other code, beside the new ones.
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

from elasticnas.report import environment
from elasticnas.runtime import configure_torch


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


def beside(record: dict[str, Any], name: str, before: Path | None) -> dict[str, Any]:
    """The part with the earlier figures of its rows, where there are any."""
    part = json.loads(before.read_text())["parts"].get(name) if before else None
    if part is None:
        return record
    earlier = {row["name"]: row["value"] for row in part["rows"]}
    rows = [{**row, "before": earlier.get(row["name"])} for row in record["rows"]]
    return {**record, "rows": rows, "before_commit": part["environment"]["commit"]}


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
    parser.add_argument("--before", type=Path, help="An earlier bench.json.")
    given = parser.parse_args(arguments)
    configure_torch(given.threads)
    scale, existing = (QUICK if given.quick else FULL).on(given.data), given.out / "bench.json"
    parts = json.loads(existing.read_text())["parts"] if given.only and existing.exists() else {}
    for name in given.only or PARTS:
        parts[name] = beside(run(name, scale), name, given.before)
        show(parts[name])
        record = {"parts": {each: parts[each] for each in PARTS if each in parts}}
        write(given.out, "bench", record, page(record))


if __name__ == "__main__":
    main()
