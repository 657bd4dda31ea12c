"""Axes start at 0 where that shows the differences, and say so where they do not."""

import math

import pytest

from elasticnas.report.axis import axis_label, axis_range


def test_an_axis_starts_at_zero_where_the_smallest_is_at_most_half_of_the_largest():
    assert axis_range([0.2, 0.4]) == pytest.approx((0.0, 0.432))
    assert axis_label("loss", axis_range([1.0, 3.0])) == "loss"


def test_a_cut_axis_says_where_it_starts():
    low, high = axis_range([0.9, 0.97])
    assert 0.85 < low < 0.9 and 0.97 < high < 1.0
    assert axis_label("accuracy", (low, high)) == f"accuracy (axis starts at {low:.6g}, not 0)"
    assert axis_label("x", axis_range([-2.0, 3.0])) == "x"


def test_a_small_difference_does_not_fill_the_axis():
    low, high = axis_range([0.961, 0.962])
    assert high - low >= 0.048 and low < 0.94 and high > 0.98
    low, high = axis_range([0.5, 0.5])
    assert low < 0.5 < high


def test_what_is_not_finite_is_left_out():
    assert axis_range([math.nan, 1.0, math.inf, 3.0]) == axis_range([1.0, 3.0])
    assert axis_range([]) == (0.0, 1.0) and axis_range([0.0]) == (0.0, 1.08)
