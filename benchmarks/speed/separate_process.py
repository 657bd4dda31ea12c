"""Peak memory and time of one computation in a separate process."""

import importlib
import json
import os
import subprocess
import sys
import time
from typing import Any

import torch

from elasticnas.errors import ElasticNASError
from elasticnas.report import peak_memory, reset_peak_memory
from speed.scale import Scale

__all__ = ["in_separate_process", "report"]


def in_separate_process(target: str, scale: Scale, **arguments: Any) -> dict[str, float]:
    """Run a computation in a new process, and measure its peak memory and time.

    Args:
        target: ``"module:function"``; ``function(scale, **arguments)`` prepares and returns the computation.
        scale: Sizes, passed on to the process.
        arguments: Plain data, passed on to the function.

    Returns:
        ``memory_bytes``, the increase of the resident set, and ``seconds``.

    Raises:
        ElasticNASError: The process failed.
    """
    given = json.dumps({"scale": scale.record(), "threads": torch.get_num_threads(), "arguments": arguments})
    start = "from speed.separate_process import report; report()"
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
    """Run the computation in the separate process, and print memory and time as JSON."""
    target, given = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(given["threads"])
    torch.set_flush_denormal(True)
    module, _, function = target.partition(":")
    run = getattr(importlib.import_module(module), function)(Scale.of(given["scale"]), **given["arguments"])
    # a small product first, because torch's one-time set-up is not part of the computation
    torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2))
    device = torch.device("cpu")
    before, started = reset_peak_memory(device), time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    print(json.dumps({"memory_bytes": peak_memory(device) - before, "seconds": seconds}))
