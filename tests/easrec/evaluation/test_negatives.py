"""Drawing of negatives: distinct, never the user's own, exactly by popularity, the same for the same seed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easrec.data import Sequences
from easrec.evaluation import draw_negatives, negatives
from elasticnas.errors import DataError


def sequences(lists):
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    items = np.array([item for one in lists for item in one], dtype=np.int32)
    return Sequences(items, offsets[:-1], offsets[1:])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_distinct_never_own_and_all_there_are(data):
    items = data.draw(st.integers(1, 12))
    counts = np.array([7, *data.draw(st.lists(st.integers(0, 5), min_size=items, max_size=items))])
    lists = data.draw(st.lists(st.lists(st.integers(1, items), max_size=15), min_size=1, max_size=6))
    number = data.draw(st.integers(1, 15))
    drawn = draw_negatives(counts, sequences(lists), number, data.draw(st.integers(0, 100)))
    assert drawn.shape == (len(lists), number) and drawn.dtype == np.int64
    for row, own in zip(drawn.tolist(), lists, strict=True):
        found = [item for item in row if item != 0]
        candidates = set(range(1, items + 1)) - set(own)
        assert row == found + [0] * (number - len(found))
        assert len(set(found)) == len(found) == min(number, len(candidates))
        assert set(found) <= candidates
        # items that nobody took in training come only when the others are used up
        popular = {item for item in candidates if counts[item] > 0}
        assert len(popular & set(found)) == min(number, len(popular))


def probability_of_set(weights, chosen):
    """Of drawing two items one after the other, in either order."""
    total = sum(weights.values())
    a, b = (weights[item] for item in chosen)
    return a / total * b / (total - a) + b / total * a / (total - b)


def test_pairs_are_drawn_by_popularity_without_replacement():
    # four candidates of counts 1, 2, 4, 8 (item 5, the most popular, is everybody's own): six possible pairs
    weights, users = {1: 1, 2: 2, 3: 4, 4: 8}, 40_000
    drawn = draw_negatives(np.array([0, 1, 2, 4, 8, 1000]), sequences([[5]] * users), 2, 0)
    pairs = {(a, b): 0 for a in weights for b in weights if a < b}
    for row in np.sort(drawn, axis=1).tolist():
        pairs[tuple(row)] += 1
    expected = {pair: users * probability_of_set(weights, pair) for pair in pairs}
    assert math.isclose(sum(expected.values()), users)
    chi_square = sum((pairs[pair] - expected[pair]) ** 2 / expected[pair] for pair in pairs)
    assert chi_square < 20.5  # 5 degrees of freedom: exceeded once in a thousand seeds


def test_the_first_column_is_one_draw_by_popularity():
    counts, users = np.array([0, 5, 10, 20, 65]), 40_000
    drawn = draw_negatives(counts, sequences([[]] * users), 3, 1)
    seen = np.bincount(drawn[:, 0], minlength=5)[1:]
    expected = users * counts[1:] / 100
    assert ((seen - expected) ** 2 / expected).sum() < 16.3  # 3 degrees of freedom, one in a thousand


def test_an_item_without_training_interactions_is_never_forced_in():
    # 6 million keys of items without interactions, and not one may come before the two that have some
    counts = np.zeros(20_001, dtype=np.int64)
    counts[1:3] = 1
    drawn = draw_negatives(counts, sequences([[]] * 300), 2, 0)
    assert (np.sort(drawn, axis=1) == [1, 2]).all()


def test_rare_items_are_not_drawn_too_often():
    # 40 million keys of items a billion times rarer: noise that is exactly 0 once in 8 million lets some in
    counts = np.full(2_001, 1, dtype=np.int64)
    counts[1:21] = 10**9
    drawn = draw_negatives(counts, sequences([[]] * 20_000), 10, 0)
    assert drawn.max() <= 20


def test_unpopular_items_fill_up_uniformly():
    users = 20_000
    drawn = draw_negatives(np.array([0, 3, 0, 0, 0]), sequences([[]] * users), 2, 0)
    assert (drawn[:, 0] == 1).all()
    seen = np.bincount(drawn[:, 1], minlength=5)[2:]
    assert ((seen - users / 3) ** 2 / (users / 3)).sum() < 13.9  # 2 degrees of freedom, one in a thousand


def test_the_same_seed_draws_the_same_whatever_the_chunk(monkeypatch):
    own = sequences([[1, 2], [3], [], [4, 5, 6], [2]])
    counts = np.arange(31)
    first = draw_negatives(counts, own, 8, 3)
    assert (draw_negatives(counts, own, 8, 3) == first).all()
    assert (draw_negatives(counts, own, 8, 4) != first).any()
    assert (draw_negatives(counts, own, 5, 3) == first[:, :5]).all()
    monkeypatch.setattr(negatives, "_CHUNK", 62)
    assert (draw_negatives(counts, own, 8, 3) == first).all()


def test_the_users_of_a_chunk_share_the_memory(monkeypatch):
    monkeypatch.setattr(negatives, "_CHUNK", 1_000)
    shapes = []
    real = np.random.default_rng

    class Recording:
        def __init__(self, seed):
            self.rng = real(seed)

        def standard_exponential(self, shape, **options):
            shapes.append(shape)
            return self.rng.standard_exponential(shape, **options)

    monkeypatch.setattr(negatives.np.random, "default_rng", Recording)
    draw_negatives(np.ones(101, dtype=np.int64), sequences([[1]] * 40), 5, 0)
    assert max(users * columns for users, columns in shapes) <= 1_000
    assert sum(users for users, _ in shapes) == 40


def test_errors_name_the_values():
    with pytest.raises(DataError, match="got 0 items, number 5"):
        draw_negatives(np.array([0]), sequences([[]]), 5, 0)
    with pytest.raises(DataError, match="got 2 items, number 0"):
        draw_negatives(np.array([0, 1, 1]), sequences([[]]), 0, 0)
    with pytest.raises(DataError, match="cannot be negative, got -2 for item 1"):
        draw_negatives(np.array([0, -2, 1]), sequences([[]]), 1, 0)
    with pytest.raises(DataError, match="item 3 of the users' own items is beyond the 2 items"):
        draw_negatives(np.array([0, 1, 1]), sequences([[1], [3]]), 1, 0)
