"""The benchmarks: intervals against known cases, targets, and two cheap parts from end to end."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))  # as the script finds its own modules

from bench_page import page
from speed.interval import interval, ratio
from speed.measured import Row


def test_without_spread_the_interval_is_the_ratio():
    assert ratio([3.0] * 5, [2.0] * 5) == (1.5, 1.5, 1.5)


def test_one_round_says_nothing_of_the_spread():
    assert ratio([3.0], [2.0]) == (1.5, 1.5, 1.5)


def test_of_two_rounds_every_draw_is_known():
    # both rounds, the first twice, or the second twice: medians 2, 1 and 3 over 1
    assert ratio([1.0, 3.0], [1.0, 1.0]) == (2.0, 1.0, 3.0)


def test_what_disturbs_a_round_of_both_forms_disturbs_no_ratio():
    times = [1.0, 7.0, 2.0, 30.0]
    value, low, high = ratio([2 * each for each in times], times)
    assert (value, low, high) == (2.0, 2.0, 2.0)


def test_an_interval_narrows_with_more_rounds_and_is_the_same_again():
    few, many = [1.0, 2.0, 3.0] * 3, [1.0, 2.0, 3.0] * 100
    below = [1.0] * 300
    assert ratio(few, below[:9]) == ratio(few, below[:9])
    widths = [high - low for _, low, high in (ratio(few, below[:9]), ratio(many, below))]
    assert widths[1] < widths[0]


def test_any_figure_of_medians_has_an_interval():
    assert interval(lambda a, b: a - b, [5.0] * 3, [2.0] * 3) == (3.0, 3.0, 3.0)


@pytest.mark.parametrize("forms", [([1.0], [1.0, 2.0]), ([], [])])
def test_forms_of_different_rounds_are_refused(forms):
    with pytest.raises(ValueError, match="every form needs the same rounds, at least one"):
        ratio(*forms)


@pytest.mark.parametrize(
    ("low", "high", "target", "at_least", "met"),
    [
        (0.9, 1.0, 1.05, False, True),
        (1.0, 1.2, 1.05, False, True),
        (1.06, 1.2, 1.05, False, False),
        (3.0, 4.1, 4.0, True, True),
        (3.0, 3.9, 4.0, True, False),
        (1.0, 2.0, None, False, None),
    ],
)
def test_a_target_is_met_where_the_interval_reaches_it(low, high, target, at_least, met):
    assert Row("some ratio", (low + high) / 2, low, high, target, at_least).met is met


def test_parts_are_measured_one_by_one_and_the_page_is_made_of_the_json(tmp_path):
    for part in ("streaming", "subnetwork"):
        command = [sys.executable, "benchmarks/bench.py", str(tmp_path), "--quick", "--threads", "1", "--only", part]
        path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=path)
        assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "bench.json").read_text())
    assert list(record["parts"]) == ["subnetwork", "streaming"]  # in their order; the first run's part is kept
    for part, measured in record["parts"].items():
        assert measured["environment"]["command"].startswith("python benchmarks/bench.py")
        assert measured["environment"]["command"].endswith(f"--only {part}")
        assert measured["environment"]["threads"] == 1
        assert all(row["low"] <= row["value"] <= row["high"] for row in measured["rows"])
    text = (tmp_path / "bench.md").read_text()
    assert page(record) == text
    # by hand: 2 layers of 2 heads with 8 x 8 sums and 8 squares and the sum of 16 in float32; 6 items, and a count
    (state,) = (row for row in record["parts"]["streaming"]["rows"] if row["unit"] == "bytes")
    assert state["value"] == 4 * (2 * 2 * (8 * 8 + 8) + 16) + 8 * (6 + 1)
