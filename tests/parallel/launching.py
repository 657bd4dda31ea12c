"""Starts programs on several processes, as torchrun does."""

import os
import subprocess
import sys

from tests.conftest import ROOT

__all__ = ["environment", "launched", "torchrun"]


def environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "recipes")]), "OMP_NUM_THREADS": "1"}


def torchrun(processes=2):
    return ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]


def launched(module, arguments, launcher=(), check=True):
    """Run a module, in one process or by a launcher; return the finished process."""
    command = [sys.executable, "-m", *launcher, module, *map(str, arguments)]
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0 or not check, done.stderr[-3000:]
    return done
