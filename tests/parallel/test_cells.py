"""Two gloo processes give what one process with both batches gives, on every rank."""

import os
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT
from tests.parallel.cells import WRAPPERS, cells

SHORT = ("ddp", "fsdp")


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    started(["one", folder])
    return folder


def started(arguments, launcher=()):
    path = os.pathsep.join([str(ROOT), str(ROOT / "recipes")])
    command = [sys.executable, "-m", *launcher, "tests.parallel.cells", *map(str, arguments)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[] if k in SHORT else pytest.mark.slow) for k in WRAPPERS])
def test_two_processes_equal_one(kind, oracle):
    started([kind, oracle], ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"])
    for rank in (0, 1):
        found = torch.load(oracle / f"{kind}-rank{rank}.found", weights_only=True)
        assert found.keys() == cells().keys()
        assert all(isinstance(value, float) and value < 1e-12 for value in found.values()), found
