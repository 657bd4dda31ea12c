"""Baselines: the last item's successors against sorting by hand, and uniform negatives."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from easrec.data import Sequences
from easrec.evaluation import draw_uniform_negatives, last_item_scores


def sequences(lists):
    stops = np.cumsum([len(each) for each in lists])
    flat = np.array([item for each in lists for item in each], dtype=np.int32)
    return Sequences(flat, np.concatenate([[0], stops[:-1]]).astype(np.int64), stops.astype(np.int64))


def ranked(score, history):
    inputs = torch.tensor([[*history, 0, 0]])
    scores = score(inputs, torch.tensor([len(history)]))[0]
    return scores[1:].argsort(descending=True, stable=True).add(1).tolist(), scores


def test_by_hand():
    # after 1: twice 2, once 3; 4 is the most popular of the others
    score = last_item_scores(sequences([[1, 2, 4], [1, 2, 4], [4, 1, 3, 4]]), 5)
    order, scores = ranked(score, [3, 1])
    assert order == [2, 3, 4, 1, 5]
    # popularity of 1..5 is 3, 2, 1, 4, 0, so a transition counts 5
    assert scores.tolist() == [0, 3, 2 + 2 * 5, 1 + 5, 4, 0]
    assert ranked(score, [])[0] == ranked(score, [5])[0] == [4, 1, 2, 3, 5]


@pytest.mark.parametrize("seed", range(5))
def test_order_equals_sorting_by_successors_then_popularity(seed):
    rng = np.random.default_rng(seed)
    lists = [rng.integers(1, 9, rng.integers(1, 9)).tolist() for _ in range(12)]
    score = last_item_scores(sequences(lists), 10)
    popularity = Counter(item for each in lists for item in each)
    for last in range(1, 11):
        follows = Counter(b for each in lists for a, b in pairwise(each) if a == last)
        expected = sorted(range(1, 11), key=lambda j: (-follows[j], -popularity[j], j))
        assert ranked(score, [7, last])[0] == expected


def test_uniform_negatives_ignore_popularity_and_own_items():
    own = sequences([[1, 1, 2]] * 6000)
    drawn = draw_uniform_negatives(6, own, 2, 0)
    assert (np.sort(drawn, axis=1)[:, 0] != np.sort(drawn, axis=1)[:, 1]).all()
    counts = np.bincount(drawn.ravel(), minlength=7)
    assert counts[[0, 1, 2]].tolist() == [0, 0, 0]
    # 12,000 draws over four items: 3,000 each, standard deviation below 50
    assert (abs(counts[3:] - 3000) < 250).all()
    assert (drawn == draw_uniform_negatives(6, own, 2, 0)).all()
    assert (drawn != draw_uniform_negatives(6, own, 2, 1)).any()
