"""The evaluator end to end: against a literal loop over users, its inputs, its errors, and real interactions."""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easrec.data import Sequences
from easrec.evaluation import (
    MISSED,
    PROTOCOLS,
    Evaluator,
    Report,
    draw_negatives,
    draw_uniform_negatives,
    evaluator,
    popularity_scores,
    without_popularity,
)
from elasticnas.errors import DataError, SearchError

ML_1M = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "ml-1m.tsv.gz"


def sequences(lists):
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    items = np.array([item for one in lists for item in one], dtype=np.int32)
    return Sequences(items, offsets[:-1], offsets[1:])


def by_content(items):
    """Scores that depend on every input item, its position and the length; rounded, so that ties occur."""

    def score(inputs, lengths):
        weights = 1 + torch.arange(inputs.shape[1])
        sums = (inputs * weights).sum(1) + 3 * lengths
        return torch.sin(sums[:, None] * 0.7 + torch.arange(items + 1) ** 2).mul(3).round()

    return score


def literal_report(histories, targets, negatives, uniform, items, length, cutoffs, score):
    totals = {p: {f"{m}@{k}": 0.0 for k in cutoffs for m in ("recall", "mrr", "ndcg")} for p in PROTOCOLS}
    ranks = {p: [] for p in PROTOCOLS}
    for history, target, against, others in zip(histories, targets, negatives, uniform, strict=True):
        known = history[-length:]
        scores = score(torch.tensor([known or [0]]), torch.tensor([len(known)]))[0].tolist()
        candidates = {
            "full": list(range(1, items + 1)),
            "unseen": [i for i in range(1, items + 1) if i not in history],
            "pop100": [i for i in against if i],
            "uni100": [i for i in others if i],
        }
        for protocol in PROTOCOLS:
            hidden = protocol == "unseen" and target in history
            rank = (
                MISSED if hidden else 1 + sum(scores[i] >= scores[target] for i in candidates[protocol] if i != target)
            )
            ranks[protocol].append(rank)
            for k in cutoffs:
                if rank <= k:
                    totals[protocol][f"recall@{k}"] += 1
                    totals[protocol][f"mrr@{k}"] += 1 / rank
                    totals[protocol][f"ndcg@{k}"] += 1 / math.log2(rank + 1)
    return {p: {m: v / len(histories) for m, v in found.items()} for p, found in totals.items()}, ranks


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_equals_a_literal_loop_over_users(data):
    items = data.draw(st.integers(1, 12))
    item = st.integers(1, items)
    histories = data.draw(st.lists(st.lists(item, max_size=9), min_size=1, max_size=8))
    targets = [data.draw(item) for _ in histories]
    length, batch_users = data.draw(st.integers(1, 10)), data.draw(st.integers(1, 9))
    own = sequences([[*history, target] for history, target in zip(histories, targets, strict=True)])
    negatives = draw_negatives(own.counts(items), own, data.draw(st.integers(1, 6)), 0)
    uniform = draw_uniform_negatives(items, own, data.draw(st.integers(1, 6)), 1)
    evaluator = Evaluator(
        sequences(histories), np.array(targets), negatives, length, (1, 3), batch_users, items=items, uniform=uniform
    )
    report = evaluator.evaluate(by_content(items))
    metrics, ranks = literal_report(
        histories, targets, negatives.tolist(), uniform.tolist(), items, length, (1, 3), by_content(items)
    )
    assert {name: found.tolist() for name, found in report.ranks.items()} == ranks
    assert list(report) == list(PROTOCOLS)
    for protocol in PROTOCOLS:
        assert report[protocol] == pytest.approx(metrics[protocol], rel=1e-12)


@pytest.fixture
def small():
    """Four users, six items; user 2 knows nothing, user 1 more than the model sees."""
    histories = sequences([[1, 2], [3, 4, 5, 1], [], [6]])
    negatives = np.array([[4, 5], [2, 0], [1, 2], [3, 0]])
    return Evaluator(histories, np.array([3, 6, 5, 2]), negatives, 3, (1, 2), batch_users=2, items=6)


def test_inputs_are_the_last_items_right_padded_and_short_histories_come_together(small):
    calls = []

    def score(inputs, lengths):
        assert not torch.is_grad_enabled()
        calls.append((inputs.tolist(), lengths.tolist(), inputs.dtype))
        return torch.zeros(len(inputs), 7)

    small.evaluate(score)
    assert calls == [([[0], [6]], [0, 1], torch.int64), ([[1, 2, 0], [4, 5, 1]], [2, 3], torch.int64)]


def test_the_whole_history_is_seen_not_only_the_last_items(small):
    # item 3 is in user 1's history but beyond the last three items; it is better than the target 6
    report = small.evaluate(lambda inputs, lengths: torch.tensor([[0.0, 0, 0, 9, 0, 0, 1]]).expand(len(inputs), -1))
    assert report.ranks["full"][1] == 2
    assert report.ranks["unseen"][1] == 1


def test_constant_scores_give_the_worst_rank(small):
    report = small.evaluate(lambda inputs, lengths: torch.zeros(len(inputs), 7))
    assert report.ranks["full"].tolist() == [6, 6, 6, 6]
    assert report.ranks["unseen"].tolist() == [4, 2, 6, 5]
    assert report.ranks["pop100"].tolist() == [3, 2, 3, 2]
    assert set(report["full"].values()) == {0.0}
    assert report["pop100"]["recall@2"] == 0.5


def test_report_is_a_plain_dictionary_with_more(small):
    report = small.evaluate(by_content(6))
    assert isinstance(report, Report)
    assert json.loads(json.dumps(report)) == dict(report)
    assert report.to_flat()["pop100/ndcg@2"] == report["pop100"]["ndcg@2"]
    assert len(report.to_flat()) == 3 * 3 * 2
    assert report.users.tolist() == [0, 1, 2, 3]
    assert report.fewest_negatives == 1


def test_some_users_and_some_protocols(small):
    whole = small.evaluate(by_content(6))
    some = small.evaluate(by_content(6), users=np.array([3, 0]), protocols=["pop100", "full"])
    assert list(some) == ["full", "pop100"]
    assert some.users.tolist() == [3, 0]
    for protocol in some:
        assert some.ranks[protocol].tolist() == whole.ranks[protocol][[3, 0]].tolist()
    masked = small.evaluate(by_content(6), users=np.array([True, False, False, True]))
    assert masked.users.tolist() == [0, 3]
    assert masked.ranks["unseen"].tolist() == whole.ranks["unseen"][[0, 3]].tolist()


def test_a_single_user_and_a_single_item():
    own = sequences([[1, 1]])
    negatives = draw_negatives(own.counts(1), own, 100, 0)
    report = Evaluator(sequences([[1]]), np.array([1]), negatives, 5, (1,), items=1).evaluate(by_content(1))
    assert {p: set(values.values()) for p, values in report.items()} == {
        "full": {1.0},
        "unseen": {0.0},
        "pop100": {1.0},
    }
    assert report.repeat_targets == 1.0
    assert report.fewest_negatives == 0


def test_without_negatives_only_pop100_is_out_of_reach():
    evaluator = Evaluator(sequences([[1, 2]]), np.array([3]), None, 5)
    assert list(evaluator.evaluate(by_content(3), protocols=["full", "unseen"])) == ["full", "unseen"]
    assert evaluator.evaluate(by_content(3), protocols=["full"]).fewest_negatives is None
    with pytest.raises(DataError, match="draw them with draw_negatives first"):
        evaluator.evaluate(by_content(3))


def test_nan_names_the_user_not_the_row_of_the_batch(small):
    def score(inputs, lengths):
        scores = torch.zeros(len(inputs), 7)
        scores[lengths == 1, 4] = float("nan")
        return scores

    # user 3 is the second row of the first batch
    with pytest.raises(SearchError, match=r"NaN for user number 3 \(protocols full, unseen\)"):
        small.evaluate(score)


def test_scores_without_the_padding_column_are_refused():
    def score(inputs, lengths):
        return torch.zeros(len(inputs), 6)

    message = "column 0 for padding: 7 columns for 6 items, got 6"
    for items in (6, None):
        evaluator = Evaluator(sequences([[6]]), np.array([2]), None, 3, items=items)
        with pytest.raises(SearchError, match=message):
            evaluator.evaluate(score, protocols=["full"])
    with pytest.raises(SearchError, match="2 columns for 1 items, got 6"):
        Evaluator(sequences([[1]]), np.array([1]), None, 3, items=1).evaluate(score, protocols=["full"])


def test_errors_name_the_values():
    one, target, against = sequences([[1, 2]]), np.array([3]), np.array([[4]])
    with pytest.raises(DataError, match="no user to evaluate"):
        Evaluator(sequences([]), np.zeros(0, dtype=np.int64), None, 5)
    with pytest.raises(DataError, match="1 histories, 2 targets and 1 rows of negatives differ"):
        Evaluator(one, np.array([3, 4]), against, 5)
    with pytest.raises(DataError, match="1 histories, 1 targets and 2 rows of negatives differ"):
        Evaluator(one, target, np.array([[4], [4]]), 5)
    with pytest.raises(DataError, match="the target 3 of user number 0 is among its own negatives"):
        Evaluator(one, target, np.array([[4, 3]]), 5)
    with pytest.raises(DataError, match=r"1\.\.2: targets begin at 3, the largest id is 3"):
        Evaluator(one, target, None, 5, items=2)
    with pytest.raises(DataError, match="targets begin at 0"):
        Evaluator(one, np.array([0]), None, 5)
    with pytest.raises(SearchError, match=r"1 or more: got 0, \(5, 10, 20\)"):
        Evaluator(one, target, against, 0)
    with pytest.raises(SearchError, match=r"1 or more: got 5, \(0,\)"):
        Evaluator(one, target, against, 5, (0,))
    with pytest.raises(SearchError, match=r"1 or more: got 5, \(\)"):
        Evaluator(one, target, against, 5, ())
    with pytest.raises(SearchError, match=r"length, batch_users and every cut-off .* got 5, 0, \(5, 10, 20\)"):
        Evaluator(one, target, against, 5, batch_users=0)
    with pytest.raises(DataError, match="the choice of users is empty"):
        Evaluator(one, target, against, 5).evaluate(by_content(4), users=np.zeros(1, dtype=bool))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_ranks_on_a_gpu_equal_those_on_the_cpu(small):
    def score(inputs, lengths):
        return by_content(6)(inputs.cpu(), lengths.cpu()).to(inputs.device)

    on_gpu = small.evaluate(score, torch.device("cuda"))
    assert dict(on_gpu) == dict(small.evaluate(by_content(6)))


def test_popularity_scores_rank_the_counts():
    score = popularity_scores(np.array([0, 2**53 - 1, 2**53 - 2]))
    scores = score(torch.zeros(3, 4, dtype=torch.long), torch.zeros(3, dtype=torch.long))
    assert scores.shape == (3, 3)
    assert bool((scores[:, 1] > scores[:, 2]).all())


def test_popularity_is_taken_from_the_scores():
    counts, given = np.array([0, 100, 10, 0]), torch.tensor([[-math.inf, 3.0, 2.0, 1.0]])
    assert without_popularity(lambda i, n: given, counts, 0)(None, None) is given
    found = without_popularity(lambda i, n: given, counts, 0.5)(None, None)
    torch.testing.assert_close(found[0, 1:], torch.tensor([3 - 0.5 * math.log(100), 2 - 0.5 * math.log(10), 1.0]))
    assert found[0, 0] == -math.inf and found.dtype == given.dtype


@pytest.mark.skipif(not ML_1M.exists(), reason="shared/data/ml-1m.tsv.gz is not beside the project")
def test_popularity_on_movielens_1m():
    with gzip.open(ML_1M) as file:
        rows = np.array(file.read().split()[2:], dtype=np.int64).reshape(-1, 2)
    items = (np.unique(rows[:, 1], return_inverse=True)[1] + 1).astype(np.int32)
    edges = np.flatnonzero(np.diff(rows[:, 0])) + 1
    starts, stops = np.concatenate([[0], edges]), np.concatenate([edges, [len(rows)]])
    assert (len(starts), items.max()) == (6040, 3706)
    counts = Sequences(items, starts, stops - 2).counts(3706)
    negatives = draw_negatives(counts, Sequences(items, starts, stops), 100, 0)
    assert all(len(set(row)) == 100 for row in negatives.tolist())
    for user in range(0, 6040, 97):
        assert not set(negatives[user]) & set(items[starts[user] : stops[user]])
    evaluator = Evaluator(Sequences(items, starts, stops - 1), items[stops - 1], negatives, 200, items=3706)
    report = evaluator.evaluate(popularity_scores(counts))
    # one item order for everybody: ranks again by sorting, without the evaluator
    order = np.sort(counts[1:])
    full = len(order) - np.searchsorted(order, counts[items[stops - 1]], side="left")
    assert (report.ranks["full"] == full).all()
    assert (report.ranks["unseen"] <= report.ranks["full"]).all()
    # among 101 candidates of which 100 are drawn by popularity, popularity itself is about a coin toss
    assert 0.08 < report["pop100"]["recall@10"] < 0.2
    assert report["unseen"]["ndcg@10"] == pytest.approx(0.018, abs=0.002)
    assert report.fewest_negatives == 100


def test_scores_held_at_a_time_are_bounded(monkeypatch):
    """Many items, few users at a time; the ranks are the same."""
    histories = sequences([[1, 2], [3], [4, 5, 1], [2]])
    asked = []

    def score(inputs, lengths):
        asked.append(len(inputs))
        return (inputs[:, :1] * torch.arange(7)) % 5.0

    everybody = Evaluator(histories, np.array([3, 6, 5, 4]), None, 3, (1, 2), items=6)
    whole = everybody.evaluate(score, protocols=("full", "unseen")).ranks
    monkeypatch.setattr(evaluator, "_SCORES", 15)
    bounded = everybody.evaluate(score, protocols=("full", "unseen")).ranks
    assert asked == [4, 2, 2]
    assert all((whole[name] == bounded[name]).all() for name in whole)


@pytest.mark.parametrize("length, users", [(5, 600), (1000, 268), (4000, 64)])
def test_an_accelerator_gets_more_users_at_once_as_long_as_their_pairs_fit(length, users):
    """2^28 pairs of positions at most, at least the 64 users of the CPU, at most 512."""
    many = Evaluator(sequences([[1]] * 600), np.full(600, 2), None, length, items=3)
    taken = {"cpu": [], "meta": []}

    def score(inputs, lengths):
        taken[inputs.device.type].append(len(inputs))
        raise StopIteration

    for device in taken:
        with pytest.raises(StopIteration):
            many.evaluate(score, torch.device(device))
    assert taken == {"cpu": [64], "meta": [min(users, 512)]}
