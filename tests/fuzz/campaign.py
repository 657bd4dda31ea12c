"""A campaign of fuzzing: ``python -m tests.fuzz.campaign --count 20000 --seed 0 --out docs/results/fuzz.json``.

An exception that is no error of ours, more than 5 s, more than 1 GiB of further memory, or a lost row is a failure.
"""

import argparse
import json
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from tests.fuzz.inputs import KINDS
from tests.fuzz.targets import Targets, attempt

_SECONDS, _MEMORY_KIB = 5, 2**20


def _hangs(number: int, frame: object) -> None:
    raise TimeoutError(f"more than {_SECONDS} s")


def campaign(count: int, seed: int, kinds: list[str], seconds: float = float("inf")) -> dict[str, object]:
    """Run ``count`` inputs, evenly over the kinds, or as many as fit the seconds; return counts and failures."""
    started, done = time.monotonic(), 0
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    failures: list[dict[str, object]] = []
    signal.signal(signal.SIGALRM, _hangs)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        targets = Targets(Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(count):
            if time.monotonic() - started > seconds:
                break
            done, kind = number + 1, kinds[number % len(kinds)]
            signal.alarm(_SECONDS)
            try:
                counts[kind][attempt(targets, kind, seed + number)] += 1
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                counts[kind]["failed"] += 1
                failures.append(
                    {"kind": kind, "seed": seed + number, "error": f"{type(error).__name__}: {error}"[:300]}
                )
            signal.alarm(0)
            now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if now > before + _MEMORY_KIB:
                failures.append({"kind": kind, "seed": seed + number, "error": "more than 1 GiB"})
                before = now
    return {"count": done, "seed": seed, "kinds": counts, "failures": failures}


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options.add_argument("--seconds", type=float, default=float("inf"))
    options.add_argument("--out", type=Path)
    chosen = options.parse_args()
    found = campaign(chosen.count, chosen.seed, chosen.kinds, chosen.seconds)
    text = json.dumps(found, indent=2) + "\n"
    print(text)
    if chosen.out is not None:
        chosen.out.write_text(text)
    sys.exit(bool(found["failures"]))
