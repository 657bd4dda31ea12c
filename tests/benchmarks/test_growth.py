"""How time grows: slopes of known powers, and the page and the files of a small part from end to end."""

import json
import sys
from math import sqrt

import pytest

from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))  # as the script finds its own modules

import growth
from growing import PARTS, Line
from growth import main, slope


@pytest.mark.parametrize("power", [0, 1, 2, 0.5])
def test_the_slope_of_a_power_is_its_exponent(power):
    times = {size: [3 * size**power * load for load in (1, 2, 5)] for size in (10, 30, 200, 1_000_000)}
    assert slope(times) == pytest.approx((power,) * 3)  # load in a round is that of all sizes


def test_the_interval_is_that_of_the_rounds():
    # slopes 1 and 3 of the two rounds; sizes 1 and 10, medians 1 and the mean of 10 and 1,000
    value, low, high = slope({1: [1.0, 1.0], 10: [10.0, 1000.0]})
    assert (low, high) == pytest.approx((1.0, 3.0)) and 10**value == pytest.approx(505)


def test_least_squares_by_hand():
    # logarithms of size 0, 1, 2 and of time 0, 0, 3 to base 10: slope (-1 * 0 + 0 * 0 + 1 * 3) / 2
    assert slope({1: [1.0], 10: [1.0], 100: [1000.0]})[0] == pytest.approx(1.5)


def test_parts_in_the_file_are_kept_and_missing_ones_measured(tmp_path, monkeypatch):
    made = []
    line = Line("work", "pieces", (10, 100), lambda size: made.append(size) or (lambda: sqrt(size)), 1)
    monkeypatch.setattr(growth, "PARTS", {"users": (line,), "items": (line,)})
    options = ["--threads", "1", "--rounds", "2"]
    main([str(tmp_path), "--only", "items", *options])
    first = json.loads((tmp_path / "growth.json").read_text())["parts"]
    main([str(tmp_path), *options])
    both = json.loads((tmp_path / "growth.json").read_text())["parts"]
    assert list(first) == ["items"] and list(both) == ["users", "items"] and both["items"] == first["items"]
    assert made == [10, 100] * 2
    text = (tmp_path / "growth.md").read_text()
    assert "## Users" in text and "## Items" in text and "| median, ms, at pieces = | 10 | 100 |" in text


@pytest.mark.parametrize("name", PARTS)
def test_every_part_has_a_title_and_ascending_sizes(name):
    assert growth.TITLES[name]
    for line in PARTS[name]:
        assert len(line.sizes) > 1 and list(line.sizes) == sorted(set(line.sizes))
        assert line.sizes == PARTS[name][0].sizes  # one table of times


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_every_computation_runs_at_its_smallest_size(name):
    for line in PARTS[name]:
        line.make(line.sizes[0])()
