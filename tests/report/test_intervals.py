"""Intervals beside published or hand-made ones; they hold 0 just where the exact test finds nothing."""

import itertools
import math

import pytest

from elasticnas.report import difference_interval, mean_interval


def test_a_share_has_wilsons_interval():
    # Newcombe, Statistics in Medicine 17, 1998, Table I: 81 of 263, and 0 of 20
    assert mean_interval([1.0] * 81 + [0.0] * 182) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert mean_interval([0.0] * 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_other_means_have_students_interval():
    # t of 4 degrees of freedom at 97.5 % is 2.776; the deviation of 1..5 is sqrt(2.5)
    half = 2.776 * math.sqrt(2.5) / math.sqrt(5)
    assert mean_interval([1, 2, 3, 4, 5]) == pytest.approx((3 - half, 3 + half), abs=1e-3)


def test_too_little_gives_none():
    assert mean_interval([0.5]) is None and mean_interval([0.5, math.nan]) is None
    assert difference_interval([0.5], [0.25]) is None and difference_interval([1.0, 2.0], [1.0]) is None
    assert difference_interval([1.0, math.inf], [1.0, 2.0]) is None


def mcnemar(better, worse):
    """p of the exact test, summed by hand."""
    count = better + worse
    tail = sum(math.comb(count, k) for k in range(min(better, worse) + 1)) / 2**count
    return min(1.0, 2 * tail)


@pytest.mark.parametrize(("better", "worse"), list(itertools.product(range(12), range(12))))
def test_right_and_wrong_answers_are_told_apart_as_the_exact_test_does(better, worse):
    ours = [1] * better + [0] * worse + [1] * 7 + [0] * 5
    theirs = [0] * better + [1] * worse + [1] * 7 + [0] * 5
    low, high = difference_interval(ours, theirs)
    assert low <= (better - worse) / len(ours) <= high
    assert (low <= 0 <= high) == (mcnemar(better, worse) > 0.05)


def test_one_image_of_360_shows_no_difference():
    low, high = difference_interval([1.0] * 346 + [0.0] * 14, [1.0] * 345 + [0.0] * 15)
    assert low < 0 < high
    none = difference_interval([1.0] * 360, [1.0] * 360)
    assert none == pytest.approx((-0.00829, 0.00829), abs=5e-5)  # 1 - 0.05 ** (1 / 360)


def test_paired_values_cancel_what_the_examples_share():
    hard = [0.5, 2.0, 7.0, 11.0, 4.0, 3.0]  # far more different than the two networks are
    ours = [value + change for value, change in zip(hard, (0.1, 0.12, 0.09, 0.11, 0.1, 0.08), strict=True)]
    low, high = difference_interval(ours, hard)
    assert 0.08 < low < 0.1 < high < 0.12


@pytest.mark.parametrize("count", [2, 3, 5, 6, 20])
@pytest.mark.parametrize("size", [1 / 360, -0.1])
def test_equal_differences_show_something_from_six_on(count, size):
    """The sign test of n equal signs has p = 2 / 2^n; Clopper and Pearson's ends are 0.025^(1/n) and 1."""
    found = difference_interval([0.3 + size + 0.1 * n for n in range(count)], [0.3 + 0.1 * n for n in range(count)])
    ends = sorted([(2 * 0.025 ** (1 / count) - 1) * size, size])
    assert found == pytest.approx(ends) and (ends[0] <= 0 <= ends[1]) == (2 / 2**count > 0.05)
