"""Measure how time grows with size, as slopes on log axes.

``python benchmarks/growth.py docs/results`` writes ``growth.json`` and ``growth.md`` after every part. Parts that the
file has are kept, so that an interrupted run continues; ``--only`` measures the named parts anew.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from growing import PARTS, Line
from interval import interval
from record import heading, write
from speed.alternate import time_alternately

from elasticnas.report import environment
from elasticnas.runtime import configure_torch

__all__ = ["page", "slope"]

TITLES = {
    "users": "Users",
    "items": "Items",
    "positions": "Positions",
    "depth": "Layers of a network",
    "candidates": "Options of a choice",
    "layers-of-a-space": "Layers of a space",
}


def slope(times: Mapping[int, Sequence[float]]) -> tuple[float, float, float]:
    """Return the exponent p of time = c * size^p, by least squares on logarithms, with its interval over rounds.

    Args:
        times: ``(rounds,)`` seconds by size, at least two sizes.
    """
    x = np.log(np.array(list(times), dtype=np.float64))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return interval(lambda *medians: sum(w * np.log(t) for w, t in zip(weights, medians, strict=True)), *times.values())


def measure(line: Line, rounds: int, limit_s: float) -> dict[str, Any]:
    """Time all sizes alternately; return seconds by size, the slope over all and that of the last two."""
    torch.manual_seed(0)
    times = time_alternately({str(size): line.make(size) for size in line.sizes}, rounds, limit_s)
    by_size = {int(size): seconds for size, seconds in times.items()}
    return {
        "name": line.name,
        "size": line.size,
        "expected": line.expected,
        "seconds": {str(size): seconds for size, seconds in by_size.items()},
        "slope": slope(by_size),
        "last": slope({size: by_size[size] for size in line.sizes[-2:]}),
    }


def page(record: dict[str, Any]) -> str:
    """Return Markdown: a table of slopes and of times for every part."""
    lines = [
        "# How time grows",
        "",
        "The slope is the exponent p of *time = c size^p*, by least squares on logarithms over all sizes, and between "
        "the two largest, where fixed costs weigh least; intervals (95 %) are a bootstrap over rounds, in which the "
        "sizes were timed alternately. *Operations*: the exponent of their number. Two processes against one: "
        "[parallel.md](parallel.md); interactions up to 100 million: [prepare.md](prepare.md).",
    ]
    for name, part in record["parts"].items():
        top = heading(TITLES[name], part["environment"])
        lines += ["", f"#{top[0]}", *top[1:], "| computation | operations | slope | of the two largest |"]
        lines += ["|---|---:|---:|---:|"]
        for line in part["lines"]:
            expected = "" if line["expected"] is None else f"{line['expected']:g}"
            shown = (f"{value:.2f} ({low:.2f} to {high:.2f})" for value, low, high in (line["slope"], line["last"]))
            lines.append(f"| {line['name']} | {expected} | {' | '.join(shown)} |")
        sizes = list(part["lines"][0]["seconds"])
        lines += ["", f"| median, ms, at {part['lines'][0]['size']} = | {' | '.join(f'{int(s):,}' for s in sizes)} |"]
        lines += [f"|---|{'---:|' * len(sizes)}"]
        for line in part["lines"]:
            medians = (_ms(1000 * float(np.median(seconds))) for seconds in line["seconds"].values())
            lines.append(f"| {line['name']} | {' | '.join(medians)} |")
    return "\n".join(lines) + "\n"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main(arguments: list[str] | None = None) -> None:
    """Measure the parts that are missing, and write the files after each one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", action="append", choices=list(PARTS), help="Part to measure; repeat for several.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--limit", type=float, default=60.0, help="Seconds after which a line starts no further round.")
    options = parser.parse_args(arguments)
    configure_torch(options.threads)
    where, existing = environment(torch.device("cpu")), options.out / "growth.json"
    parts = json.loads(existing.read_text())["parts"] if existing.exists() else {}
    for name in options.only or [name for name in PARTS if name not in parts]:
        found = []
        for line in PARTS[name]:
            found.append(measure(line, options.rounds, options.limit))
            value, low, high = found[-1]["slope"]
            print(f"{name}: {line.name}: {value:.2f} ({low:.2f} to {high:.2f})", flush=True)
        parts[name] = {"lines": found, "environment": where}
        record = {"parts": {each: parts[each] for each in PARTS if each in parts}}
        write(options.out, "growth", record, page(record))


if __name__ == "__main__":
    main()
