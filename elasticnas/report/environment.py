"""environment: command, versions and machine of a measurement."""

import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import elasticnas

__all__ = ["device_name", "environment"]


def environment(device: torch.device) -> dict[str, Any]:
    """Return command, commit, versions and machine, to record with measurements."""
    return {
        "command": _command(),
        "commit": _commit(),
        "elasticnas": elasticnas.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
    }


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or the kind of another device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _command() -> str:
    """Return the command line; a script is named relative to the root of its checkout."""
    program = Path(sys.argv[0])
    if program.suffix != ".py":
        return shlex.join(["elasticnas", *sys.argv[1:]])
    root, script = _root(), program.resolve()
    shown = script.relative_to(root) if script.is_relative_to(root) else program
    return shlex.join(["python", str(shown), *sys.argv[1:]])


def _root() -> Path:
    """Return the folder that contains the package: the checkout, if there is one."""
    return Path(elasticnas.__file__).resolve().parents[1]


def _commit() -> str | None:
    """Return the commit of the checkout, with ``-dirty`` if it has changes; None for an installed package."""
    root = _root()
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
