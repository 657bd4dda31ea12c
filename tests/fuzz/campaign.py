"""A campaign of fuzzing: ``python -m tests.fuzz.campaign --count 20000 --seed 1000 --out docs/results/fuzz.json``.

An exception that is no error of ours, more than 5 s, more than 1 GiB of further memory, a lost row, or damaged content
that is accepted as another is a failure. What is done is kept in ``.parts.jsonl`` beside the result: the same command
continues there. The page beside the result, ``fuzz.md``, is written from it.
"""

import argparse
import json
import os
import random
import resource
import shlex
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.record import heading, write
from elasticnas.report import environment
from tests.fuzz.decoder import Decoder
from tests.fuzz.targets import KINDS, attempt
from tests.fuzz.world import World

_SECONDS, _MEMORY_KIB, _PART = 5, 2**20, 500


class Hang(BaseException):
    """An input that takes too long; a TimeoutError would be an OSError, which readers turn into an error of ours."""


def _hangs(number: int, frame: object) -> None:
    raise Hang(f"more than {_SECONDS} s")


def run_part(world: World, numbers: range, seed: int, kinds: list[str]) -> dict[str, Any]:
    """Give one input of each number to its target; return counts and failures."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    failures: list[dict[str, object]] = []
    for number in numbers:
        kind, before = kinds[number % len(kinds)], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.alarm(_SECONDS)
        try:
            counts[kind][attempt(world, kind, random.Random(seed + number))] += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # panics of extensions are no Exception
            counts[kind]["failed"] += 1
            failures.append({"kind": kind, "seed": seed + number, "error": f"{type(error).__name__}: {error}"[:300]})
        finally:
            signal.alarm(0)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > before + _MEMORY_KIB:
            counts[kind]["failed"] += 1
            failures.append({"kind": kind, "seed": seed + number, "error": "more than 1 GiB"})
    return {"first": numbers.start, "count": len(numbers), "kinds": counts, "failures": failures}


def campaign(count: int, seed: int, kinds: list[str], parts: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield the parts of a campaign, those of earlier calls first; stop after the seconds.

    Args:
        count: Number of inputs, evenly over the kinds.
        seed: Seed of the first input; each further one adds 1.
        kinds: Kinds of inputs.
        parts: File of finished parts, one line of JSON each.
        seconds: Time of this call.
    """
    started, plan = time.monotonic(), {"seed": seed, "kinds": kinds, "part": _PART}
    known = [json.loads(line) for line in parts.read_text().splitlines()] if parts.exists() else [plan]
    if known[0] != plan:
        raise SystemExit(f"{parts}: belongs to another campaign, {known[0]}; delete it")
    done = {each["first"]: each for each in known[1:]}
    decoder = Decoder()
    with (
        closing(decoder),
        patch("easrec.data.tables.subprocess", decoder),
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        os.chdir(folder)
        world = World(Path(folder))
        _ = world.result  # made before time is taken
        parts.parent.mkdir(parents=True, exist_ok=True)
        if not parts.exists():
            parts.write_text(json.dumps(plan) + "\n")
        for first in range(0, count, _PART):
            if time.monotonic() - started > seconds:
                return
            if first not in done:
                done[first] = run_part(world, range(first, min(first + _PART, count)), seed, kinds)
                with parts.open("a") as file:
                    file.write(json.dumps(done[first]) + "\n")
            yield done[first]


def summed(parts: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Return the record of a campaign: counts by kind, and failures."""
    kinds: dict[str, Counter[str]] = {}
    for part in parts:
        for kind, counts in part["kinds"].items():
            kinds.setdefault(kind, Counter()).update(counts)
    command = shlex.join(["python", "-m", "tests.fuzz.campaign", *sys.argv[1:]])
    return {
        "environment": environment(torch.device("cpu")) | {"command": command},
        "count": sum(part["count"] for part in parts),
        "seed": seed,
        "kinds": kinds,
        "failures": [failure for part in parts for failure in part["failures"]],
    }


def page(record: dict[str, Any]) -> str:
    """Return the page of a campaign in Markdown."""
    lines = heading("Fuzzing", record["environment"])
    failures = record["failures"]
    lines += [
        "Each input must end in success or in one error of ours, in one line of at most 300 characters without control",
        f"characters. A traceback, more than {_SECONDS} s, more than 1 GiB of further memory, a lost row, or damaged",
        "content that is accepted as another is a failure. Files of interactions and of items are counted by the",
        "suite itself, not by a reader of ours.",
        "",
        f"{record['count']:,} inputs from seed {record['seed']}, {len(failures):,} failures:",
        "",
        "| kind | inputs | succeeded | refused | failed |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind, counts in record["kinds"].items():
        shown = [counts.get(name, 0) for name in ("ok", "refused", "failed")]
        lines.append(f"| {kind} | " + " | ".join(f"{value:,}" for value in (sum(shown), *shown)) + " |")
    lines += ["", *(f"* {each['kind']}, seed {each['seed']}: `{each['error'][:120]}`" for each in failures[:20])]
    lines += [""] if failures else []
    lines += _guided(record.get("guided", {}))
    lines += [
        "The same command continues a campaign that was stopped. `tests/fuzz/test_fuzz.py` runs some inputs of every",
        "kind with every test run; `tests/fuzz/atheris_targets.py` runs the same targets guided by coverage.",
    ]
    return "\n".join(lines) + "\n"


def _guided(guided: dict[str, Any]) -> list[str]:
    if not guided:
        return []
    found = ", ".join(f"{kind} {each['inputs']:,}" for kind, each in guided.items())
    failures, seconds = (sum(each[name] for each in guided.values()) for name in ("failures", "seconds"))
    text = f"Guided by coverage (atheris 3.0.0, {seconds} s in total), inputs by kind: {found}; {failures} failures."
    return [text, ""]


def main() -> None:
    """Run or continue a campaign, and write its record and page."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time, to continue later")
    options.add_argument("--out", type=Path, default=Path("docs/results/fuzz.json"))
    chosen = options.parse_args()
    out = chosen.out.absolute()
    signal.signal(signal.SIGALRM, _hangs)
    parts = list(campaign(chosen.count, chosen.seed, chosen.kinds, out.with_suffix(".parts.jsonl"), chosen.seconds))
    record = summed(parts, chosen.seed)
    guided = json.loads(out.read_text()).get("guided") if out.exists() else None
    record |= {"guided": guided} if guided else {}
    write(out.parent, out.stem, record, page(record))
    print(page(record))
    sys.exit(bool(record["failures"]))


if __name__ == "__main__":
    main()
