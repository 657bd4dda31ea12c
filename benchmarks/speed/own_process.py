"""Peak memory and time of one computation, in a process of its own."""

import importlib
import json
import os
import subprocess
import sys
import time
from typing import Any

import torch

from elasticnas.errors import ElasticNASError
from elasticnas.report import count_peak_anew, peak_memory
from speed.scale import Scale

__all__ = ["in_own_process", "report"]


def in_own_process(target: str, scale: Scale, **arguments: Any) -> dict[str, float]:
    """Run a computation where nothing ran before.

    Args:
        target: ``"module:function"``; ``function(scale, **arguments)`` gets everything ready and returns what is run.
        scale: Of this process.
        arguments: Plain data.

    Returns:
        ``memory_bytes``, the rise of the resident set, and ``seconds``.

    Raises:
        ElasticNASError: It failed.
    """
    given = json.dumps({"scale": scale.record(), "threads": torch.get_num_threads(), "arguments": arguments})
    start = "from speed.own_process import report; report()"
    done = subprocess.run(
        [sys.executable, "-c", start, target, given],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise ElasticNASError(f"{target} {arguments} failed: {said[-1] if said else f'exit code {done.returncode}'}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def report() -> None:
    """In that process: print what the computation needed, as JSON."""
    target, given = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(given["threads"])
    torch.set_flush_denormal(True)
    module, _, function = target.partition(":")
    run = getattr(importlib.import_module(module), function)(Scale.of(given["scale"]), **given["arguments"])
    # one small product first: what torch sets up once is no memory of this computation
    torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2))
    device = torch.device("cpu")
    before, started = count_peak_anew(device), time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    print(json.dumps({"memory_bytes": peak_memory(device) - before, "seconds": seconds}))
