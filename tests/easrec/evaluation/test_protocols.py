"""Ranks from scores against a literal loop, ties, NaN and infinities."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easrec.data import Sequences
from easrec.evaluation import MISSED, ranks_from_scores
from elasticnas.errors import DataError, SearchError

INF = float("inf")
LEVELS = [-INF, -1.0, 0.0, 0.5, 2.0, INF]  # few values: many ties


def literal_rank(scores, target, candidates):
    """1 + how many others are at least as good, one comparison at a time."""
    rank = 1
    for item in candidates:
        if item != target and scores[item] >= scores[target]:
            rank += 1
    return rank


def literal_ranks(scores, targets, histories, negatives):
    items = range(1, len(scores[0]))
    found = {"full": [], "unseen": [], "pop100": []}
    for row, target, history, against in zip(scores, targets, histories, negatives, strict=True):
        found["full"].append(literal_rank(row, target, items))
        left = [i for i in items if i not in history]
        found["unseen"].append(literal_rank(row, target, left) if target in left else MISSED)
        found["pop100"].append(literal_rank(row, target, [i for i in against if i != 0]))
    return found


def pairs(histories):
    rows = [row for row, history in enumerate(histories) for _ in history]
    ids = [item for history in histories for item in history]
    return torch.tensor(rows, dtype=torch.long), torch.tensor(ids, dtype=torch.long)


@st.composite
def situations(draw):
    items = draw(st.integers(1, 9))
    users = draw(st.integers(1, 5))
    number = draw(st.integers(1, 5))
    item = st.integers(1, items)
    scores = [draw(st.lists(st.sampled_from(LEVELS), min_size=items + 1, max_size=items + 1)) for _ in range(users)]
    targets = [draw(item) for _ in range(users)]
    histories = [draw(st.lists(item, max_size=8)) for _ in range(users)]  # repetitions, and the target itself, occur
    negatives = []
    for target in targets:
        others = [i for i in range(1, items + 1) if i != target]
        chosen = draw(st.permutations(others))[:number]
        negatives.append(chosen + [0] * (number - len(chosen)))
    return scores, targets, histories, negatives


@settings(max_examples=150, deadline=None)
@given(situations())
def test_equals_the_literal_loop(situation):
    scores, targets, histories, negatives = situation
    found = ranks_from_scores(
        torch.tensor(scores), torch.tensor(targets), pairs(histories), torch.tensor(negatives, dtype=torch.long)
    )
    assert {name: ranks.tolist() for name, ranks in found.items()} == literal_ranks(*situation)


def test_hand_worked_example():
    #                      0    1    2    3    4    5: the target is 3; 1 and 4 are better, 5 ties
    scores = torch.tensor([[9.0, 4.0, 1.0, 2.0, 3.0, 2.0]])
    found = ranks_from_scores(scores, torch.tensor([3]), pairs([[1, 2]]), torch.tensor([[4, 2, 0]]))
    assert {name: ranks.tolist() for name, ranks in found.items()} == {"full": [4], "unseen": [3], "pop100": [2]}


def test_a_target_in_its_history_is_a_miss_under_unseen():
    scores = torch.tensor([[0.0, 3.0, 2.0, 1.0]])
    found = ranks_from_scores(scores, torch.tensor([2]), pairs([[1, 2, 2]]), torch.tensor([[1, 3]]))
    assert found["unseen"].tolist() == [MISSED]
    assert found["full"].tolist() == [2]


@pytest.mark.parametrize("value", [0.0, -INF, INF])
def test_constant_scores_rank_last(value):
    scores = torch.full((2, 7), value)
    found = ranks_from_scores(scores, torch.tensor([1, 6]), pairs([[2, 3], []]), torch.tensor([[4, 5, 6], [1, 2, 0]]))
    assert {name: ranks.tolist() for name, ranks in found.items()} == {
        "full": [6, 6],
        "unseen": [4, 6],
        "pop100": [4, 3],
    }


def test_one_item():
    found = ranks_from_scores(torch.zeros(1, 2), torch.tensor([1]), pairs([[]]), torch.tensor([[0, 0]]))
    assert {name: ranks.tolist() for name, ranks in found.items()} == {"full": [1], "unseen": [1], "pop100": [1]}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_any_number_type(dtype):
    scores = torch.tensor([[0, 3, 1, 2]], dtype=dtype)
    assert ranks_from_scores(scores, torch.tensor([3]), pairs([[]]), torch.tensor([[1]]))["full"].tolist() == [2]


@pytest.mark.parametrize("padding", [float("nan"), INF, -INF])
def test_the_padding_column_is_ignored(padding):
    scores = torch.tensor([[padding, 1.0, 2.0]])
    found = ranks_from_scores(scores, torch.tensor([2]), pairs([[]]), torch.tensor([[1, 0]]))
    assert [ranks.tolist() for ranks in found.values()] == [[1], [1], [1]]


@pytest.mark.parametrize(
    ("item", "names"),
    [(4, "full, unseen, pop100"), (1, "full"), (2, "full, unseen"), (3, "full, unseen, pop100")],
    ids=["target", "in the history", "elsewhere", "negative"],
)
def test_nan_names_user_and_protocols(item, names):
    scores = torch.zeros(2, 5)
    scores[1, item] = float("nan")
    seen, negatives = pairs([[1], [1]]), torch.tensor([[3], [3]])
    with pytest.raises(SearchError, match=rf"NaN for user number 1 \(protocols {names}\)"):
        ranks_from_scores(scores, torch.tensor([4, 4]), seen, negatives)
    with pytest.raises(SearchError, match=rf"NaN for user number 71 \(protocols {names}\)"):
        ranks_from_scores(scores, torch.tensor([4, 4]), seen, negatives, users=[70, 71])


def test_nan_outside_the_candidates_does_no_harm():
    scores = torch.tensor([[0.0, float("nan"), 2.0, 1.0]])
    found = ranks_from_scores(scores, torch.tensor([3]), pairs([[1]]), torch.tensor([[2]]), ["unseen", "pop100"])
    assert {name: ranks.tolist() for name, ranks in found.items()} == {"unseen": [2], "pop100": [2]}


def test_a_nan_of_a_repeat_target_raises_except_under_unseen():
    scores, seen = torch.tensor([[0.0, float("nan"), 2.0]]), pairs([[1]])
    found = ranks_from_scores(scores, torch.tensor([1]), seen, None, ["unseen"])
    assert found["unseen"].tolist() == [MISSED]
    with pytest.raises(SearchError, match=r"\(protocols full\)"):
        ranks_from_scores(scores, torch.tensor([1]), seen, None, ["full", "unseen"])


def test_errors_name_the_values():
    scores, none = torch.zeros(2, 4), pairs([[], []])
    with pytest.raises(DataError, match=r"unknown protocols \['pop10'\]; give at least one of full, unseen, pop100"):
        ranks_from_scores(scores, torch.tensor([1, 1]), none, None, ["full", "pop10"])
    with pytest.raises(DataError, match="give at least one of"):
        ranks_from_scores(scores, torch.tensor([1, 1]), none, None, [])
    with pytest.raises(DataError, match="draw_negatives first"):
        ranks_from_scores(scores, torch.tensor([1, 1]), none, None)
    with pytest.raises(SearchError, match=r"1\.\.3, as scores have 4 columns.*got 1\.\.4"):
        ranks_from_scores(scores, torch.tensor([1, 4]), none, None, ["full"])
    with pytest.raises(SearchError, match=r"1\.\.3.*got 0\.\.1"):
        ranks_from_scores(scores, torch.tensor([1, 0]), none, None, ["full"])
    with pytest.raises(SearchError, match=r"got \(2, 4\) for 3 users"):
        ranks_from_scores(scores, torch.tensor([1, 2, 3]), none, None, ["full"])


def test_rows_and_items_of_sequences_in_any_order():
    items = np.array([1, 2, 3, 4, 5, 6], dtype=np.int32)
    sequences = Sequences(items, np.array([4, 0, 3, 1]), np.array([6, 2, 3, 4]))
    rows, ids = sequences.rows_and_items()
    assert rows.tolist() == [0, 0, 1, 1, 3, 3, 3]
    assert ids.tolist() == [5, 6, 1, 2, 2, 3, 4]
