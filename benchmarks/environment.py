"""Command, commit, versions and machine, for a record beside every figure."""

import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

__all__ = ["environment"]


def environment(script: str, arguments: list[str] | None) -> dict[str, Any]:
    """Plain data for the record of a benchmark.

    Args:
        script: Path from the root of the checkout.
        arguments: Of the command line; None for those of this process.
    """
    root = Path(__file__).parents[1]
    git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return {
        "command": shlex.join(["python", script, *(sys.argv[1:] if arguments is None else arguments)]),
        "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip(),
        "processor": names[0].partition(": ")[2] if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
