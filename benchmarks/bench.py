"""Measure speed and memory of elasticnas as ratios, each within one run.

``python benchmarks/bench.py docs/results`` (``make bench``) writes ``bench.json`` and ``bench.md``. ``--only`` measures
some parts again and keeps the others of an existing file; ``--before`` adds a column with the figures of an earlier
``bench.json``. ``--quick`` (``make bench QUICK=1``, into ``runs/bench-quick``) takes less than ten minutes.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from bench_page import page
from record import write
from speed import PARTS, load_part
from speed.scale import FULL, QUICK, TINY, Scale

from elasticnas.report import environment
from elasticnas.runtime import configure_torch


def run(name: str, scale: Scale) -> dict[str, Any]:
    """Measure one part, and return its record with sizes and environment."""
    part, started = load_part(name), time.perf_counter()
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


def add_earlier(record: dict[str, Any], name: str, before: Path | None) -> dict[str, Any]:
    """Return the record with the earlier figure of each row, if there is one."""
    part = json.loads(before.read_text())["parts"].get(name) if before else None
    if part is None:
        return record
    earlier = {row["name"]: row["value"] for row in part["rows"]}
    rows = [{**row, "before": earlier.get(row["name"])} for row in record["rows"]]
    return {**record, "rows": rows, "before_commit": part["environment"]["commit"]}


def show(record: dict[str, Any]) -> None:
    """Print the rows of a part."""
    print(f"{record['title']} ({record['seconds']:.0f} s)", flush=True)
    for row in record["rows"]:
        target = "" if row["target"] is None else f", target {row['target']:g}: {'met' if row['met'] else 'not met'}"
        shown = f"{row['value']:.4g} ({row['low']:.4g} to {row['high']:.4g}) {row['unit']}".rstrip()
        print(f"  {row['name']}: {shown}{target}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Measure all parts, and write the files after each one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", action="append", choices=PARTS, help="Part to measure; repeat for several.")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="Measure few rounds and no extremes: under 10 minutes.")
    sizes.add_argument("--tiny", action="store_true", help="Use tiny sizes, to check that everything runs.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, help="File of interactions to train on; random ones by default.")
    parser.add_argument("--before", type=Path, help="An earlier bench.json.")
    options = parser.parse_args(arguments)
    configure_torch(options.threads)
    scale = (QUICK if options.quick else TINY if options.tiny else FULL).on(options.data)
    existing = options.out / "bench.json"
    parts = json.loads(existing.read_text())["parts"] if options.only and existing.exists() else {}
    for name in options.only or PARTS:
        parts[name] = add_earlier(run(name, scale), name, options.before)
        show(parts[name])
        record = {"parts": {each: parts[each] for each in PARTS if each in parts}}
        write(options.out, "bench", record, page(record))


if __name__ == "__main__":
    main()
