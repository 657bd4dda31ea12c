"""The comparison with RecTools, as far as it goes without RecTools."""

import json
from argparse import Namespace
from itertools import count
from math import log2
from types import SimpleNamespace

import pytest
import torch

from benchmarks.peers import accuracy
from benchmarks.peers.compare_rectools import OURS, figure, measure_round, open_peer
from benchmarks.peers.ours import Ours
from benchmarks.peers.rectools_page import page
from easrec.config import Config


def test_ndcg_of_ranks_by_hand():
    targets = {"first": "a", "second": "a", "outside": "a", "no list": "a"}
    lists = {"first": ["a", "b"], "second": ["b", "a"], "outside": ["b", "c"]}
    assert accuracy.ndcg(lists, targets) == pytest.approx((1 + 1 / log2(3)) / 4)


@pytest.fixture
def ours(tmp_path):
    """100 users who each step through seven items in turn."""
    rows = [f"{user}\t{1 + (user + step) % 7}" for user in range(100) for step in range(3 + user % 5)]
    data = tmp_path / "small.tsv"
    data.write_text("\n".join(["user_id\titem_id", *rows]) + "\n")
    yield Ours(data, 1, OURS)
    torch.set_flush_denormal(False)


class Stub:
    """Stands in for RecTools' process: 1.5 s an epoch, and every target first from the third epoch on."""

    def __init__(self, ours, tick):
        names, self.tick, self.epochs = ours.data.item_ids, tick, 0
        targets = ours.split.targets("validation")
        self.right = {str(user): [names[item]] for user, item in enumerate(targets)}

    def ask(self, do, **_):
        assert do == "epoch"
        self.epochs += 1
        self.tick(1000)
        return {"seconds": 1.5, "lists": self.right if self.epochs > 2 else {}}


@pytest.fixture
def tick(monkeypatch):
    """A clock that advances by a second at every look, and by what it is told."""
    looks, more = count(1), []
    clock = SimpleNamespace(perf_counter=lambda: next(looks) + sum(more))
    monkeypatch.setattr(accuracy, "time", clock)
    return more.append


def test_both_are_trained_to_the_level_and_only_training_is_on_the_clock(ours, tick):
    stub = Stub(ours, tick)
    found = accuracy.race(ours, stub, level=0.9, minutes=10, seed=0)
    assert [point["metric"] for point in found["rectools"]] == [0, 0, 1]
    assert [point["seconds"] for point in found["rectools"]] == [1.5, 3.0, 4.5]
    own = found["own"]
    # one look at the clock an epoch: not the evaluations, nor the 1,000 s of each epoch of the other side
    assert [point["seconds"] for point in own] == [point["epochs"] for point in own] == [*range(1, len(own) + 1)]
    assert own[-1]["metric"] >= 0.9 > max(point["metric"] for point in own[:-1])
    assert accuracy.first_at(own, 0.9) == own[-1] and accuracy.first_at(own, 1.1) is None


def test_training_ends_with_the_epoch_that_exceeds_the_limit(ours, tick):
    stub = Stub(ours, tick)
    found = accuracy.race(ours, stub, level=1.1, minutes=3.5 / 60, seed=0)
    assert [point["epochs"] for point in found["own"]] == [1, 2, 3, 4]
    assert [point["seconds"] for point in found["rectools"]] == [1.5, 3.0, 4.5]


def test_the_peer_gets_our_sequences_and_must_train_on_the_same(ours, tmp_path):
    def opened(without):
        def ask(do, sequences, settings, threads):
            users = json.loads((tmp_path / sequences).read_text())
            assert (users["0"], users["9"]) == (["1", "2", "3"], ["3", "4", "5", "6", "7", "1", "2"])
            return {"interactions": sum(len(items) - without for items in users.values()), "users": len(users)}

        return open_peer(SimpleNamespace(folder=tmp_path, ask=ask), ours, 1)

    assert opened(2)["interactions"] == 20 * (1 + 2 + 3 + 4 + 5)
    with pytest.raises(SystemExit, match="RecTools has 400 training interactions, ours 300"):
        opened(1)


@pytest.mark.parametrize("number", [0, 1])
def test_a_round_asks_both_sides_in_turn(number):
    asked, opened = [], {}
    answers = {"train": {"targets": 600, "seconds": 2.0, "peak_memory_bytes": 5}, "recommend": {"seconds": 12.0}}

    def ask(do, **_):
        asked.append("peer")
        return answers[do] | {"rows": 60}

    def own(seconds, **more):
        return lambda *_: asked.append("ours") or {"seconds": seconds, "rows": 60, **more}

    def train(attention, batches, seed, precision="float32"):
        return own(0.5 if precision == "auto" else 1.0, targets=900)()

    ours = SimpleNamespace(train=train, recommend=own(3.0), evaluate=own(2.0))
    options = Namespace(seed=0, peer_batches=1, own_batches=1)
    found = measure_round(SimpleNamespace(ask=ask), opened, ours, options, number)
    trained = {"train": (300.0, 900.0), "train, auto": (300.0, 1800.0)}
    assert found == trained | {"recommend": (12.0, 3.0), "rank": (12.0, 2.0)}
    assert opened == {"peak_memory_bytes": 5}
    assert asked == (["ours"] * 4 + ["peer"] * 2 if number else ["peer"] * 2 + ["ours"] * 4)
    ours.recommend = own(3.0, rows=59)
    with pytest.raises(SystemExit, match="RecTools recommends 60 items, ours 59: not the same work"):
        measure_round(SimpleNamespace(ask=ask), opened, ours, options, number)


def record():
    settings = {"n_blocks": 2, "n_heads": 4, "n_factors": 128, "session_max_len": 200, "dropout_rate": 0.2}
    peer = {
        "versions": {"rectools": "0.19.0", "torch": "2.13.0"},
        "settings": settings | {"batch_size": 128, "lr": 0.001},
        "targets": 647_619,
        "items": 3647,
        "batches": 48,
        "users": 6040,
        "peak_memory_bytes": 3 * 2**30,
    }
    config = Config().model_dump(mode="json")
    return {
        "data": {"file": "ml-1m.tsv.gz", "users": 6040, "items": 3706, "interactions": 1_000_209},
        "rectools": peer,
        "ours": {"targets": 982_089, "batches": 145, "settings": config, "peak_memory_bytes": 2**30},
        "sample": {"rectools_batches": 8, "own_batches": 40, "top": 10},
        "load": {"before": 1.04, "cores": 2},
        "rounds": 2,
        "figures": [
            figure("train", [(2000.0, 12_000.0), (1900.0, 9500.0)]),
            figure("recommend", [(30.0, 10.0), (30.0, 15.0)]),
            figure("rank", [(30.0, 6.0), (30.0, 7.5)]),
        ],
        "accuracy": {
            "minutes": 90.0,
            "level": 0.17,
            "runs": [
                {
                    "seed": 0,
                    "own": [
                        {"seconds": 65.0, "epochs": 1, "metric": 0.1},
                        {"seconds": 130.0, "epochs": 2, "metric": 0.175},
                    ],
                    "rectools": [{"seconds": 910.0, "epochs": 7, "metric": 0.171}],
                }
            ],
        },
        "environment": {
            "command": "python benchmarks/peers/compare_rectools.py out",
            "commit": "abc",
            "processor": "a processor",
            "threads": 1,
            "torch": "2.13.0",
            "numpy": "2.0",
            "python": "3.11",
        },
    }


def test_the_page_says_what_was_measured():
    text = page(record())
    for line in (
        # medians 1,950 and 10,750; of the two rounds alone 6 and 5
        "| training, targets a second | 1,950 | 10,750 | 5.51 (5.00 to 6.00) | 6 times: within the interval |",
        "| recommending 10 unseen items to all users, s | 30.0 | 12.5 | 2.40 (2.00 to 3.00) |  |",
        "| RecTools: the same; ours: rank of every user's target among unseen items, s | 30.0 | 6.8 | "
        "4.44 (4.00 to 5.00) | ours below 2 s: missed |",
        "| 0 | 910 (7) | 130 (2) | 0.1710 | 0.1750 |",
        "Load average before the run: 1.0, on 2 cores.",
        "Ours is 7.00 (7.00 to 7.00) times as fast to it; target 6: met.",
    ):
        assert line in text.splitlines(), line
    assert "8 of 48 batches of 128 users" in text and "40 of 145 batches of 64 windows" in text


def test_without_a_training_to_a_level_the_page_says_nothing_of_it():
    text = page(record() | {"accuracy": None})
    assert "random weights" not in text and "times as fast to it" not in text


def test_a_level_that_one_side_does_not_reach_gives_no_ratio():
    given = record()
    given["accuracy"]["level"] = 0.172
    text = page(given)
    assert "| 0 | not reached | 130 (2) | 0.1710 | 0.1750 |" in text.splitlines() and "times as fast to it" not in text
