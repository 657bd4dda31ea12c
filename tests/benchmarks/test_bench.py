"""The benchmarks: intervals against known cases, targets, and a cheap part from end to end."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))  # as the script finds its own modules

from bench import add_earlier
from bench_page import page
from interval import interval, ratio
from speed import load_part
from speed.measured import Row
from speed.scale import TINY


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


@pytest.mark.slow
def test_one_part_is_measured_anew_and_the_page_is_made_of_the_json(tmp_path):
    rows = [Row("import elasticnas", 0.25, 0.2, 0.31, 0.3, unit="s", rounds=5).record()]
    where = {"command": "python x.py", "commit": "abc", "processor": "P", "threads": 7, "torch": "2.13.0"}
    kept = {"title": "Start-up", "text": "Wall time.", "rows": rows, "figures": [], "remarks": ["a remark"]}
    kept |= {"sizes": TINY.record(), "seconds": 1.0, "environment": where}
    (tmp_path / "bench.json").write_text(json.dumps({"parts": {"start-up": kept}}))
    command = [sys.executable, "benchmarks/bench.py", str(tmp_path), "--tiny", "--threads", "1", "--only", "streaming"]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "bench.json").read_text())
    assert list(record["parts"]) == ["streaming", "start-up"]  # in their order
    assert record["parts"]["start-up"] == json.loads(json.dumps(kept))
    measured = record["parts"]["streaming"]
    assert measured["environment"]["command"] == shlex.join(["python", *command[1:]])
    assert measured["environment"]["threads"] == 1
    assert all(row["low"] <= row["value"] <= row["high"] for row in measured["rows"])
    # by hand: 2 layers of 2 heads with 8 x 8 sums and 8 squares in float32; 6 items in int32, and a count in int64
    state, recurrence = (row["value"] for row in measured["rows"] if row["unit"] == "bytes")
    assert recurrence == 4 * 2 * 2 * (8 * 8 + 8)
    assert state == recurrence + 4 * 6 + 8
    text = (tmp_path / "bench.md").read_text()
    assert page(record) == text
    assert "| import elasticnas | 0.25 s | 0.20 s to 0.31 s | at most 0.30 s | yes |" in text and "* a remark" in text
    assert "`python x.py`, commit abc, P, 7 threads, torch 2.13.0." in text


def test_earlier_figures_stand_beside_the_rows_of_the_same_name(tmp_path):
    rows = [Row(name, 2.0, 2.0, 2.0, rounds=5).record() for name in ("kept", "new")]
    where = {"command": "python x.py", "commit": "abc", "processor": "P", "threads": 7, "torch": "2.13.0"}
    part = {"title": "T", "text": "", "rows": rows, "figures": [], "remarks": [], "sizes": TINY.record()}
    part["environment"] = where
    earlier = {"rows": [{"name": "kept", "value": 3.5}], "environment": where | {"commit": "old"}}
    (tmp_path / "before.json").write_text(json.dumps({"parts": {"p": earlier}}))
    compared = add_earlier(part, "p", tmp_path / "before.json")
    assert [row["before"] for row in compared["rows"]] == [3.5, None]
    text = page({"parts": {"p": compared}})
    assert "| kept | 2 | 2 to 2 |  |  | 3.5 |" in text
    assert "| new | 2 | 2 to 2 |  |  |  |" in text
    assert "the library of commit old" in text
    assert add_earlier(part, "another", tmp_path / "before.json") == part == add_earlier(part, "p", None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["supernet-step", "subnetwork", "inference", "machine-share"])
def test_a_part_measures_the_library_as_it_is(name):
    measured = load_part(name).measure(TINY)
    assert measured.rows and all(row.low <= row.value <= row.high for row in measured.rows)
    assert all(figure["ms"] > 0 for figure in measured.figures)
