"""Repeat targets: unseen reports what recommend gives by default, and a run on such data steers by full."""

import io
import json

import numpy as np
import polars as pl
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from easrec import Config, Recommender, closer
from easrec.cli import commands
from easrec.data import Split, prepare
from easrec.evaluation import repeat_targets
from easrec.evaluation.groups import history_groups, popularity_groups
from easrec.model import build
from easrec.pipeline import Pipeline, evaluators
from easrec.space import space_for
from easrec.steering import repeat_share, steered
from elasticnas.run import Run

SIZES = {"hidden": 8, "inner": 8, "layers": 1, "heads": 1, "length": 6}
SMALL = {f"model.{name}": value for name, value in SIZES.items()} | {"cutoffs": [1, 3, 20]}


def interactions(sequences):
    rows = [(f"u{u}", item, None) for u, sequence in enumerate(sequences) for item in sequence]
    return prepare(pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "time": pl.Int64}, orient="row"))


def reported_and_served(data, seed):
    """Recall as the evaluator reports it, and as the hits in what recommend answers, users one by one."""
    config = Config().updated(SMALL | {"early_stopping_metric": "unseen/ndcg@3"})
    torch.manual_seed(seed)
    arch = space_for(config.model).largest()
    recommender = Recommender(build(config.model, len(data.item_ids) - 1, arch, True), arch, config, data.item_ids)
    report = evaluators(Split(data), config)["test"].evaluate(recommender.network.next_item)
    found = {}
    for protocol, include_seen in (("unseen", False), ("full", True)):
        for k in config.cutoffs:
            hits = []
            for start, stop in zip(data.offsets[:-1], data.offsets[1:], strict=True):
                *history, target = [data.item_ids[i] for i in data.items[start:stop]]
                answer = recommender.recommend([history], k, include_seen)[0]
                hits.append(target in [item for item, _ in answer])
            found[protocol, k] = report[protocol][f"recall@{k}"], sum(hits) / len(hits)
    return found, report


def test_300_users_who_return_to_their_first_item():
    found, report = reported_and_served(interactions(["abcda"] * 300), 0)
    assert [found["unseen", k] for k in (1, 3, 20)] == [(0.0, 0.0)] * 3
    assert found["full", 20] == (1.0, 1.0)
    assert report.repeat_targets == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_unseen_equals_what_recommend_hits(seed):
    rng = np.random.default_rng(seed)
    items = [f"i{n}" for n in range(rng.integers(3, 25))]
    sequences = [rng.choice(items, rng.integers(3, 12)).tolist() for _ in range(30)]
    data = interactions(sequences)
    found, report = reported_and_served(data, seed)
    for reported, served in found.values():
        assert reported == pytest.approx(served, abs=1e-12)
    assert report.repeat_targets == pytest.approx(sum(s[-1] in s[:-1] for s in sequences) / 30)


def test_repeats_by_hand():
    split = Split(interactions(["abcd", "abcb", "abac", "aaa"]))
    assert repeat_targets(split.history("validation"), split.targets("validation")).tolist() == [0, 0, 1, 1]
    assert repeat_targets(split.history("test"), split.targets("test")).tolist() == [0, 1, 0, 1]
    assert repeat_share(split) == 0.5


@pytest.mark.parametrize(("repeats", "metric"), [(2, "unseen/ndcg@10"), (3, "full/ndcg@10")])
def test_more_than_five_percent_steer_by_full(repeats, metric):
    # 20 users have 40 targets: two repeats are 5 %, three are more
    split = Split(interactions(["abcda"] * repeats + ["abcde"] * (20 - repeats)))
    config, line = steered(Config(), split)
    assert config.early_stopping_metric == metric
    assert bool(line) == (repeats == 3)


def test_a_metric_that_the_user_chose_is_kept_with_a_line():
    split = Split(interactions(["abcda"] * 4))
    changed, line = steered(Config().updated({"seed": 1}), split)
    assert changed.early_stopping_metric == "full/ndcg@10" and changed.seed == 1
    assert line == (
        "more than 5% of the targets are items that the user already has in the history: steering by full/ndcg@10 "
        "(early_stopping_metric=unseen/ndcg@10 would keep unseen)"
    )
    chosen = Config().updated({"early_stopping_metric": "unseen/ndcg@10"})
    kept, line = steered(chosen, split)
    assert kept == chosen and line.endswith("consider early_stopping_metric=full/ndcg@10")


def test_a_run_says_it_and_keeps_the_share(tmp_path):
    settings = SMALL | {
        "cutoffs": [10],
        "search.strategy": "none",
        "search.budget": None,
        "compare": [],
        "train.epochs": 1,
    }
    said = io.StringIO()
    work = Pipeline(
        interactions(["abcda"] * 30),
        Config().updated(settings),
        Run(tmp_path / "run"),
        torch.device("cpu"),
        Console(file=said, width=300),
    )
    result = work.run_all(report=False)
    assert said.getvalue().count("steering by full/ndcg@10") == 1
    assert result.config.early_stopping_metric == "full/ndcg@10"
    assert result.repeat_targets == {"validation": 0.0, "test": 1.0}
    assert result.figure("found", "test", "unseen", "recall@10") == 0.0
    assert "repeat targets: 0.0% of validation, 100.0% of test" in (tmp_path / "run/result.md").read_text()


def test_groups_by_hand():
    groups = history_groups(np.array([1, 5, 6, 51]))
    assert {name: found.tolist() for name, found in groups.items()} == {
        "history 1-5": [1, 1, 0, 0],
        "history 6-20": [0, 0, 1, 0],
        "history 51+": [0, 0, 0, 1],
    }
    # 12 interactions: item 1 has a third, 2 and 3 the next one
    groups = popularity_groups(np.array([1, 3, 5, 6]), np.array([0, 4, 2, 2, 2, 2, 0]))
    assert {name: found.tolist() for name, found in groups.items()} == {
        "head items": [1, 0, 0, 0],
        "middle items": [0, 1, 0, 0],
        "tail items": [0, 0, 1, 1],
    }


def test_lists_equal_what_recommend_answers():
    rng = np.random.default_rng(3)
    data = interactions([rng.choice(list("abcdefgh"), rng.integers(3, 15)).tolist() for _ in range(20)])
    config = Config().updated(SMALL | {"early_stopping_metric": "unseen/ndcg@3"})
    arch = space_for(config.model).largest()
    recommender = Recommender(build(config.model, len(data.item_ids) - 1, arch, True), arch, config, data.item_ids)
    lists = closer.test_lists(recommender.network.next_item, Split(data), config, torch.device("cpu"))
    for user, row in enumerate(lists):
        history = [data.item_ids[i] for i in data.items[data.offsets[user] : data.offsets[user + 1] - 1]]
        answer = [item for item, _ in recommender.recommend([history], 3)[0]]
        assert [data.item_ids[i] for i in row if i] == answer


def test_evaluate_writes_users_and_shows_groups(tmp_path):
    settings = SMALL | {"cutoffs": [10], "search.strategy": "none", "search.budget": None, "compare": []}
    settings |= {"train.epochs": 1}
    run = Run(tmp_path / "run")
    Pipeline(interactions(["abcda", "bcade"] * 9), Config().updated(settings), run, torch.device("cpu")).run_all(False)
    command = ["evaluate", "--out", str(tmp_path / "run"), "--beyond", "--per-user", str(tmp_path / "users.parquet")]
    done = CliRunner().invoke(commands, [*command, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["test/history 1-5/users"] == 18 and 0 < found["test/beyond/coverage"] <= 1
    users = pl.read_parquet(tmp_path / "users.parquet")
    assert users["target"].to_list() == ["a", "e"] * 9
    assert users["rank_unseen"].to_list()[::2] == [None] * 9 and users["rank_unseen"].to_list()[1] == 1
    assert users["items"].to_list()[1] == ["e"]
    shown = CliRunner().invoke(commands, command).stdout
    assert "test, beyond: coverage" in shown and "repeat targets: 0.0% of validation, 50.0% of test" in shown
