"""Works that are killed by SIGKILL inside a write, and resumed, end in the figures of those that nobody kills."""

import sys

import pytest

from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))  # as the script finds its own modules

import kills as script

QUICK = [(kind, 1) for kind in script.WORKLOADS if kind not in ("Study", "easrec run")]
SLOW = [pytest.param(kind, 5, marks=pytest.mark.slow) for kind in script.WORKLOADS]


@pytest.mark.parametrize(("kind", "works"), [*QUICK, *SLOW])
def test_a_killed_work_ends_in_the_same_figures(kind, works, tmp_path):
    record = script.run(kind, works, tmp_path)
    assert record["equal"] == works, record["different"]
    assert works <= record["kills"] == sum(record["landed"].values()) <= 2 * works
