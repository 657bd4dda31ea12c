"""Metrics from ranks: hand-worked values, bounds, and the text of the errors."""

import doctest
import math

import numpy as np
import pytest

from easrec.evaluation import METRICS, metrics, metrics_at, per_user
from elasticnas.errors import DataError, SearchError


def test_hand_worked_example():
    # ranks 1, 2, 10, 11: three of four within 10, two within 5
    found = metrics_at(np.array([1, 2, 10, 11]), cutoffs=(5, 10))
    assert found == pytest.approx(
        {
            "recall@5": 2 / 4,
            "mrr@5": (1 + 1 / 2) / 4,
            "ndcg@5": (1 + 1 / math.log2(3)) / 4,
            "recall@10": 3 / 4,
            "mrr@10": (1 + 1 / 2 + 1 / 10) / 4,
            "ndcg@10": (1 + 1 / math.log2(3) + 1 / math.log2(11)) / 4,
        },
        rel=1e-12,
    )


@pytest.mark.parametrize("metric", METRICS)
def test_a_first_place_is_one_and_beyond_k_is_zero(metric):
    assert per_user(np.array([1]), metric, 1).tolist() == [1.0]
    assert per_user(np.array([11, 2**40]), metric, 10).tolist() == [0.0, 0.0]
    assert per_user(np.array([10]), metric, 10)[0] > 0


def test_published_example_of_dcg():
    # Jarvelin and Kekalainen's discount at ranks 1, 3, 7: 1 / log2(2), 1 / log2(4), 1 / log2(8)
    assert per_user(np.array([1, 3, 7]), "ndcg", 10).tolist() == pytest.approx([1, 1 / 2, 1 / 3])


def test_docstring_examples():
    assert doctest.testmod(metrics).attempted > 0
    assert doctest.testmod(metrics).failed == 0


def test_errors_name_the_values():
    with pytest.raises(DataError, match="no user to evaluate"):
        metrics_at(np.zeros(0, dtype=np.int64))
    with pytest.raises(DataError, match="from 1, got 0 for user number 2"):
        per_user(np.array([1, 2, 0]), "mrr", 10)
    with pytest.raises(SearchError, match="1 or more, got 0"):
        metrics_at(np.array([1]), cutoffs=(5, 0))
    with pytest.raises(SearchError, match="unknown metric 'hits'; choose one of recall, mrr, ndcg"):
        per_user(np.array([1]), "hits", 10)
