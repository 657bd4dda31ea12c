"""Run the parts of the GPU benchmark one after another, each in a process of its own, until the time is over.

``benchmarks/gpu.sh OUT`` prepares the packages and calls this. After each part, and while it runs, its figures are in
``OUT/PART.json``; a part that the clock cuts keeps what it has. ``OUT/gpu.md`` is the page made from them.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from gpu_parts import PARTS
from gpu_parts.page import page
from gpu_parts.scale import FULL, TINY

from elasticnas.report import environment

_LIMIT = 480.0  # seconds
_GRACE = 5.0  # seconds to stop a part


def main() -> None:
    """Run the parts, or, with ``--part``, one of them in this process."""
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description="Measure the library on one GPU.")
    parser.add_argument("out", type=Path, help="folder of the results")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, a rehearsal on any machine")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--limit", type=float, default=_LIMIT, help="seconds for all parts")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.device == "cpu" and not given.tiny:
        parser.error("no GPU: --tiny rehearses on the CPU, or name a --device")
    given.out.mkdir(parents=True, exist_ok=True)
    if given.part is None:
        _run_all(given)
        return
    torch.set_num_threads(min(4, os.cpu_count() or 1))
    PARTS[given.part].measure(_Record(given.out / f"{given.part}.json"), given.device, TINY if given.tiny else FULL)


class _Record:
    """Writes the figures of a part whenever there are more, so that a cut keeps them.

    Args:
        path: The JSON file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._figures = path, dict[str, object]()

    def __call__(self, **figures: object) -> None:
        self._figures |= figures
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self._figures, indent=2) + "\n")
        partial.replace(self._path)


def _run_all(given: argparse.Namespace) -> None:
    deadline = time.monotonic() + given.limit
    states: dict[str, str] = {}
    for part in PARTS:
        left = deadline - time.monotonic() - _GRACE
        states[part] = "not started" if left < _GRACE else _run(part, given, min(left, PARTS[part].SHARE * given.limit))
        print(f"{part}: {states[part]}, {deadline - time.monotonic():.0f} s left", flush=True)
        where = environment(torch.device(given.device))
        summary = {"environment": where, "tiny": given.tiny, "limit_s": given.limit, "parts": states}
        (given.out / "gpu.json").write_text(json.dumps(summary, indent=2) + "\n")
        (given.out / "gpu.md").write_text(page(given.out))
    if "failed" in states.values():
        sys.exit(1)


def _run(part: str, given: argparse.Namespace, seconds: float) -> str:
    """Run one part and return how it ended."""
    command = [sys.executable, __file__, str(given.out), "--part", part, "--device", given.device]
    log = given.out / f"{part}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*command, *(["--tiny"] if given.tiny else [])], stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(_GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            return "cut by the clock"
    return "done" if code == 0 else "failed"


if __name__ == "__main__":
    main()
