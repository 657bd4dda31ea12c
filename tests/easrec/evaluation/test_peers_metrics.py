"""Our metrics equal those of RecTools and ranx on generated lists (values from benchmarks/peers/metrics.py)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from easrec.evaluation import metrics_at, ranks_from_scores
from easrec.evaluation.beyond import beyond_accuracy, gini, user_counts
from elasticnas.errors import DataError

DATA = json.loads((Path(__file__).parent / "peers.json").read_text())
ITEMS, LISTS, TARGETS = DATA["items"], np.array(DATA["lists"]), np.array(DATA["targets"])


def beyond(k):
    ids = np.array(DATA["training"]).ravel()
    rows = np.repeat(np.arange(len(LISTS)), len(DATA["training"][0]))
    counts = np.bincount(ids, minlength=ITEMS + 1)
    return beyond_accuracy(LISTS[:, :k], user_counts(rows, ids, ITEMS), counts, len(LISTS))


def test_equal_rectools_and_ranx():
    scores = torch.zeros(len(LISTS), ITEMS + 1)
    for rank in range(LISTS.shape[1]):
        scores[np.arange(len(LISTS)), LISTS[:, rank]] = 100.0 - rank
    seen = torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    ranks = ranks_from_scores(scores, torch.from_numpy(TARGETS), seen, None, ["full"])["full"].numpy()
    ours = metrics_at(ranks, (1, 5, 10)) | {
        f"{name}@{k}": value for k in (1, 5, 10) for name, value in beyond(k).items()
    }
    assert len(DATA["expected"]["rectools"]) == 18 and len(DATA["expected"]["ranx"]) == 9
    for expected in DATA["expected"].values():
        assert {name: ours[name] for name in expected} == pytest.approx(expected, abs=1e-9, rel=0)


@pytest.mark.parametrize("counts", [[1, 1, 1], [0, 0, 3], [5, 1, 0, 2], [7]])
def test_gini_equals_the_mean_absolute_difference(counts):
    x = np.array(counts)
    expected = np.abs(x[:, None] - x[None]).mean() / (2 * x.mean())
    assert gini(x) == pytest.approx(expected, abs=1e-12)


def test_short_and_empty_lists_by_hand():
    lists = np.array([[1, 2], [1, 0], [0, 0]])
    found = beyond_accuracy(lists, np.array([0, 4, 1, 0]), np.array([0, 6, 2, 0]), 4)
    # user 0: bits 0 and 2, interactions 6 and 2; user 1: item 1 alone; user 2 has no list
    assert found == pytest.approx({"coverage": 2 / 3, "novelty": 0.5, "popularity": 5.0, "gini": 4 / 9})
    with pytest.raises(DataError, match="lists of items 1\\.\\.3 are needed"):
        beyond_accuracy(np.zeros((2, 2), dtype=np.int64), np.zeros(4), np.zeros(4), 4)
