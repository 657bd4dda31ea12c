"""The comparison with RecBole, as far as it goes without RecBole."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import elasticnas.nn as enn
from benchmarks.peers.compare import figure, scaled
from benchmarks.peers.ours import Ours
from benchmarks.peers.page import page
from benchmarks.peers.peer import Peer
from benchmarks.peers.recbole_runner import LinRecAttention
from easrec.config import Config
from tests.conftest import ROOT


def test_a_sample_is_scaled_to_the_whole():
    assert scaled(3.0, done=2048, whole=982_089) == pytest.approx(1438.61, abs=0.01)


def test_linrec_beside_recbole_is_the_formula_of_the_library():
    torch.manual_seed(0)
    theirs = LinRecAttention(12, heads=3, dropout=0.0, eps=1e-12).double()
    ours = enn.Attention(12, 3, 4, kind="linrec", causal=False).double()
    for mine, own in ((ours.query, theirs.query), (ours.key, theirs.key), (ours.value, theirs.value)):
        mine.load_state_dict(own.state_dict())
    ours.out.load_state_dict(theirs.dense.state_dict())
    x, real = torch.randn(2, 5, 12, dtype=torch.float64), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    mask = torch.where(real, 0.0, -10000.0)[:, None, None]
    expected = F.layer_norm(x + ours(x, ~real), (12,), eps=1e-12)
    torch.testing.assert_close(theirs(x, mask)[real], expected[real])


@pytest.mark.parametrize("name", ["recbole", "rectools", "whittle", "modelopt", "masks"])
def test_a_runner_needs_nothing_of_the_project_to_start(name):
    serve = ROOT / "benchmarks/peers/serve.py"
    done = subprocess.run([sys.executable, "-I", str(serve), name], input="", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("name", "target"),
    [("RecBole", "recbole"), ("RecTools", "rectools"), ("whittle", "whittle"), ("ModelOpt", "modelopt")],
)
def test_without_the_environment_the_way_out_is_said(name, target):
    with pytest.raises(SystemExit, match=f"nowhere/python: no such interpreter; make {target} builds the environment"):
        Peer(Path("nowhere/python"), name)
    rules = [line.partition(":")[0].split() for line in (ROOT / "Makefile").read_text().splitlines()]
    assert any(target in names for names in rules)


@pytest.fixture
def ours(tmp_path):
    """200 users who each step through seven items in turn."""
    rows = [f"{user}\t{1 + (user + step) % 7}" for user in range(200) for step in range(3 + user % 5)]
    data = tmp_path / "small.tsv"
    data.write_text("\n".join(["user_id\titem_id", *rows]) + "\n")
    yield Ours(data, threads=1)
    torch.set_flush_denormal(False)


def test_ours_counts_the_targets_that_it_times(ours):
    assert ours.targets == 40 * (0 + 1 + 2 + 3 + 4)  # of each user all but the first and the last two
    assert ours.epoch("linrec")["targets"] == ours.targets
    assert ours.batches(ours.config("linrec")) == 3  # 160 users have something to train on
    one, two, more = (ours.train("linrec", batches, seed=0)["targets"] for batches in (1, 2, 9))
    assert 0 < one < two == more < ours.targets
    assert ours.evaluate("softmax", "full", seed=0)["users"] == 200
    # the history of n items, of 2 to 6 different ones, leaves 7 - n items to recommend
    assert ours.recommend("softmax", top=10, seed=0)["rows"] == 40 * sum(7 - seen for seen in (2, 3, 4, 5, 6))


def test_ours_notes_when_validation_rose(ours):
    risen = ours.reach("softmax", minutes=10)  # ends earlier, with the epochs
    assert risen and all(a["metric"] < b["metric"] and a["seconds"] < b["seconds"] for a, b in pairwise(risen))
    assert risen[0]["epochs"] == 1 and risen[-1]["metric"] > 0.9


def record() -> dict:
    return {
        "data": {"file": "ml-1m.tsv.gz", "users": 6040, "items": 3706, "interactions": 1_000_209},
        "recbole": {
            "versions": {"recbole": "1.2.1", "torch": "2.13.0"},
            "settings": {
                "n_layers": 2,
                "n_heads": 4,
                "hidden_size": 128,
                "inner_size": 256,
                "MAX_ITEM_LIST_LENGTH": 200,
                "train_batch_size": 2048,
                "hidden_dropout_prob": 0.5,
                "attn_dropout_prob": 0.5,
            },
            "prepare_seconds": 30.0,
            "targets": 982_089,
            "batches": 480,
            "users": 6040,
            "peak_memory_bytes": 2**34,
        },
        "ours": {"targets": 982_089, "batches": 145, "settings": Config().model_dump(mode="json")},
        "sample": {"recbole_batches": 1, "own_batches": 20, "users": 1024, "sampled_users": 40},
        "rounds": 2,
        "figures": [
            figure("train", "softmax", [(12_000.0, 20.0), (14_500.0, 20.0)], (0, 6040)),
            figure("full", "softmax", [(30.0, 7.0), (30.0, 6.5)], (6040, 6040)),
            figure("pop100", "softmax", [(3000.0, 5.6), (3000.0, 6.6)], (40, 6040)),
        ],
        "whole": {"softmax": {"seconds": 20.5, "targets": 982_089}},
        "accuracy": {
            "minutes": 2.0,
            "levels": [0.1, 0.2],
            "risen": [{"seconds": 30.0, "epochs": 1, "metric": 0.08}, {"seconds": 61.0, "epochs": 2, "metric": 0.11}],
        },
        "environment": {
            "command": "python benchmarks/peers/compare.py out",
            "commit": "abc",
            "processor": "a processor",
            "threads": 2,
            "torch": "2.13.0",
            "numpy": "2.0",
            "python": "3.11",
        },
    }


def test_the_page_says_what_was_measured_and_what_extrapolated():
    text = page(record())
    for line in (
        "| training, one epoch | softmax | *extrapolated* 13,250 | *extrapolated* 20.0 | 662 (600 to 725) "
        "| ratio 700: met |",
        "| evaluation, all items (ours: also unseen items) | softmax | 30.0 | 6.8 | 4.4 (4.3 to 4.6) "
        "| ours below 6 s: missed |",
        "| evaluation, 100 negatives by popularity | softmax | *extrapolated* 3,000 | 6.1 | 492 (455 to 536) "
        "| ours below 6 s: met |",
        "| 0.1 | 61 | 2 |",
        "| 0.2 | not reached | |",
        "One complete epoch of ours, including set-up: 20.5 s with softmax.",
        "`python benchmarks/peers/compare.py out`, commit abc, a processor, 2 threads, torch 2.13.0.",
    ):
        assert line in text.splitlines(), line
    assert "1 of 480 batches, 982,089 targets in total, 2,048 prefixes per batch" in text


def test_the_page_does_without_what_was_not_asked_for():
    text = page(record() | {"whole": {}, "accuracy": None})
    assert "complete epoch" not in text and "Time to accuracy" not in text
