"""benchmarks/gpu.sh, rehearsed on the CPU: every part runs, and the clock cuts what takes too long."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


def run(out, *options):
    environment = {**os.environ, "PYTHON": sys.executable}
    environment.pop("PYTHONPATH", None)
    command = [str(ROOT / "benchmarks" / "gpu.sh"), str(out), *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_rehearsal_runs_every_part(tmp_path):
    done = run(tmp_path, "--tiny", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr + "".join(p.read_text() for p in tmp_path.glob("*.log"))
    states = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert list(states) == ["law", "recommender", "step", "subnetwork", "attention", "loss", "compilation"]
    assert set(states.values()) == {"done"}
    assert json.loads((tmp_path / "law.json").read_text())["checked"] == 9
    run_of_easrec = json.loads((tmp_path / "recommender.json").read_text())
    assert run_of_easrec["finished"] and "largest" in run_of_easrec["metrics"]
    page = (tmp_path / "gpu.md").read_text()
    assert "A rehearsal with tiny sizes" in page and "| 32 | linrec |" in page


def test_the_clock_cuts_and_keeps(tmp_path):
    done = run(tmp_path, "--tiny", "--device", "cpu", "--limit", "16")
    states = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert done.returncode == 0 and "not started" in states.values(), done.stdout + done.stderr
    assert states["law"] in ("done", "cut by the clock")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_the_way_out_is_a_rehearsal(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 2 and "no GPU: --tiny rehearses on the CPU, or name a --device" in done.stderr
