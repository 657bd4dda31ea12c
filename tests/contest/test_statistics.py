"""Judgements against counts by hand, other implementations and simulations."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from elasticnas.contest import judge
from elasticnas.contest.statistics import holm, needed_seeds


def judged(differences, direction="maximise", matters=0.0):
    values = {"ours": dict(enumerate(differences)), "theirs": dict.fromkeys(range(len(differences)), 0.0)}
    (found,) = judge([("ours", "theirs")], values, direction, matters)
    return found


def test_holm_by_hand():
    # 4 * 0.005 = 0.02; 3 * 0.01 = 0.03; 2 * 0.03 = 0.06; 0.04 is lifted to 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.8]) == [1.0, 1.0] and holm([]) == []


@pytest.mark.parametrize("count", [3, 7, 10])
def test_p_values_are_those_of_all_signs(count):
    differences = np.random.default_rng(count).normal(0.3, 1.0, count)
    means = [abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=count)]
    expected = np.mean([mean >= abs(differences.sum()) - 1e-12 for mean in means])
    assert judged(differences).p == pytest.approx(expected, abs=1e-15)


def test_p_values_of_many_seeds_are_near_those_of_scipy():
    differences = np.random.default_rng(0).normal(0.4, 1.0, 25)
    theirs = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=50_000, rng=np.random.default_rng(1)
    )
    assert judged(differences).p == pytest.approx(theirs.pvalue, abs=0.01)


def test_intervals_cover_the_true_mean():
    """Of 200 samples of ten normal differences, about 95% of the intervals hold the mean; BCa is a little short."""
    rng = np.random.default_rng(2)
    inside = [low <= 0.5 <= high for low, high in (judged(rng.normal(0.5, 1.0, 10)).interval for _ in range(200))]
    assert 0.86 <= np.mean(inside) <= 0.98


def test_detectable_differences_are_detected_in_four_of_five_contests():
    rng, count = np.random.default_rng(3), 10
    found = judged(rng.normal(0.0, 1.0, count))
    shift = found.detectable / found.deviation  # in units of the deviation
    p = [scipy.stats.ttest_1samp(rng.normal(shift, 1.0, count), 0.0).pvalue for _ in range(4000)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("differences", "direction", "matters", "verdict"),
    [
        ([0.1, 0.2, 0.15, 0.12, 0.18, 0.11, 0.16, 0.14], "maximise", 0.0, "better"),
        ([0.1, 0.2, 0.15, 0.12, 0.18, 0.11, 0.16, 0.14], "minimise", 0.0, "worse"),
        ([-0.1, -0.2, -0.15, -0.12, -0.18, -0.11, -0.16, -0.14], "minimise", 0.0, "better"),
        ([0.1, -0.2, 0.15, -0.12, 0.18, -0.11], "maximise", 0.0, "no difference shown"),
        ([0.1, -0.2, 0.15, -0.12, 0.18, -0.11], "maximise", 0.5, "as good"),
        ([0.1, 0.2], "maximise", 0.0, "too few seeds"),
        ([0.1, math.nan, 0.3], "maximise", 0.0, "too few seeds"),
        ([0.0] * 8, "maximise", 0.1, "as good"),
        ([0.1, 0.2, 0.3, 0.2, 0.1], "maximise", 0.0, "no difference shown"),  # p cannot be below 2 / 32
    ],
)
def test_verdicts(differences, direction, matters, verdict):
    assert judged(differences, direction, matters).verdict == verdict


@pytest.mark.parametrize(("count", "possible"), [(3, False), (5, False), (6, True)])
def test_nothing_is_detectable_where_no_sign_can_be_significant(count, possible):
    assert (2 / 2**count < 0.05) == possible
    assert (judged(np.random.default_rng(count).normal(0.3, 1.0, count)).detectable is not None) == possible


def test_only_common_seeds_are_compared_and_paired():
    values = {"a": {0: 1.0, 1: 2.0, 2: 9.0, 5: 4.0}, "b": {5: 3.0, 1: 0.5, 0: 0.0, 7: 8.0}}
    one, none = judge([("a", "b"), ("b", "a")], values, "maximise")
    assert (one.seeds, one.difference) == (3, pytest.approx((1.0 + 1.5 + 1.0) / 3))
    assert none.difference == -one.difference
    assert judge([("a", "missing")], values, "maximise") == ()


def test_the_family_is_corrected_together():
    rng = np.random.default_rng(4)
    values = {name: dict(enumerate(rng.normal(0.8, 1.0, 9))) for name in "abc"} | {"base": dict.fromkeys(range(9), 0.0)}
    together = judge([(name, "base") for name in "abc"], values, "maximise")
    assert [each.corrected for each in together] == pytest.approx(holm([each.p for each in together]))
    alone = judge([("a", "base")], values, "maximise")[0]
    assert alone.corrected == alone.p == together[0].p and alone.detectable < together[0].detectable


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 6), (5, 8), (9, 9), (100, 12)])
def test_the_fewest_seeds_that_can_show_anything(comparisons, seeds):
    assert needed_seeds(comparisons) == seeds
    assert comparisons * 2 / 2**seeds < 0.05 <= comparisons * 2 / 2 ** (seeds - 1)
