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
from easrec.data import Split, prepare, repeat_targets
from easrec.evaluation import popularity_scores
from easrec.evaluation.groups import history_groups, popularity_groups
from easrec.model import build
from easrec.pipeline import Pipeline, evaluators
from easrec.presets import load_preset, preset_names
from easrec.space import space_for
from easrec.steering import repeat_share, steered, steering_of
from elasticnas.run import Run

SIZES = {"hidden": 8, "inner": 8, "layers": 1, "heads": 1, "length": 6}
SMALL = {f"model.{name}": value for name, value in SIZES.items()} | {"cutoffs": [1, 3, 20]}
FAST = SMALL | {"cutoffs": [10], "search.strategy": "none", "search.budget": None, "compare": []} | {"train.epochs": 1}


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
    for protocol, repeats in (("unseen", False), ("full", True)):
        for k in config.cutoffs:
            hits = []
            for start, stop in zip(data.offsets[:-1], data.offsets[1:], strict=True):
                *history, target = [data.item_ids[i] for i in data.items[start:stop]]
                answer = recommender.recommend([history], k, repeats)[0]
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


@pytest.mark.parametrize("together", [1, 7, 1000])
@pytest.mark.parametrize("split", ["last", "time:70%,85%", "sessions:50%,75%"])
def test_preparation_and_evaluation_count_the_same_repeats(monkeypatch, split, together):
    monkeypatch.setattr("easrec.data.repeats._TOGETHER", together)
    rng = np.random.default_rng(2)
    rows = [(f"u{u}", f"i{rng.integers(5)}", u + 5 * t) for u in range(30) for t in range(rng.integers(3, 12))]
    data = prepare(pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"), split=split)
    whole, test = Split(data), "test"
    expected = 0
    for history, target in zip(whole.history(test), whole.targets(test), strict=True):
        expected += target in history.tolist()
    assert 0 < expected < len(whole.users(test)) and data.statistics.repeat_targets == expected
    config = Config().updated(SMALL | {"early_stopping_metric": "full/ndcg@3"})
    report = evaluators(whole, config)[test].evaluate(popularity_scores(whole.training.counts(whole.items)))
    assert report.repeat_targets == pytest.approx(expected / len(whole.users(test)))


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
        "50.0% of the targets, more than 5%, are items that the user already has in the history: steering by "
        "full/ndcg@10 (early_stopping_metric=unseen/ndcg@10 would keep unseen)"
    )
    chosen = Config().updated({"early_stopping_metric": "unseen/ndcg@10"})
    kept, line = steered(chosen, split)
    assert kept == chosen and line.endswith("consider early_stopping_metric=full/ndcg@10")
    other = Config().updated({"cutoffs": [5], "early_stopping_metric": "pop100/mrr@5"})  # ndcg@10 is not computed
    assert steered(other, split)[1].endswith("consider early_stopping_metric=full/mrr@5")
    open_again, line = steered(chosen.updated({"early_stopping_metric": "auto"}), split)
    assert open_again.early_stopping_metric == "full/ndcg@10" and "steering by" in line


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_that_is_not_steered_by_full_says_that_there_are_repeats(preset):
    split, settings = Split(interactions(["abcda"] * 4)), load_preset(preset)
    config, line = steered(settings, split)
    if preset in ("authors", "paper"):
        assert config == settings and line == (
            "50.0% of the targets, more than 5%, are items that the user already has in the history; pop100/ndcg@10 "
            "ranks them among sampled items, and recommend leaves them out unless --repeats is given: consider "
            "early_stopping_metric=full/ndcg@10"
        )
    else:
        assert config.early_stopping_metric == "full/ndcg@10" and bool(line) == (preset != "demo")
    assert steered(settings, Split(interactions(["abcde"] * 4))) == (settings, "")


def test_a_run_says_it_and_keeps_the_share(tmp_path):
    said = io.StringIO()
    work = Pipeline(
        interactions(["abcda"] * 30),
        Config().updated(FAST),
        Run(tmp_path / "run"),
        torch.device("cpu"),
        Console(file=said, width=300),
    )
    result = work.run_all(report=False)
    assert said.getvalue().count("steering by full/ndcg@10") == 1
    assert result.config.early_stopping_metric == "full/ndcg@10"
    assert result.repeat_targets == {"validation": 0.0, "test": 1.0}
    assert result.figure("found", "test", "unseen", "recall@10") == 0.0
    page = (tmp_path / "run/result.md").read_text()
    assert "repeat targets: 0.0% of validation, 100.0% of test" in page
    steering = "full/ndcg@10, the lists of recommend --repeats; 50.0% of the validation and test targets are repeats"
    assert result.steering == steering and f"* steering: {steering}\n" in page
    assert steering in work.run.folder.joinpath("result.json").read_text() and steering in result.report().html()


@pytest.mark.parametrize(
    ("metric", "share", "line"),
    [
        ("unseen/ndcg@10", 0.05, "unseen/ndcg@10, the lists of recommend"),
        (
            "unseen/ndcg@10",
            0.051,
            "unseen/ndcg@10, the lists of recommend; 5.1% of the validation and test targets are repeats, which it "
            "counts as misses",
        ),
        ("full/mrr@5", 0.0, "full/mrr@5, the lists of recommend --repeats"),
        ("pop100/ndcg@10", 0.5, "pop100/ndcg@10, the target among sampled items"),
    ],
)
def test_what_steers_a_run_is_one_line(metric, share, line):
    assert steering_of(Config().updated({"early_stopping_metric": metric}), share) == line


@pytest.mark.parametrize(
    ("sequence", "settings", "served"),
    [
        ("abcda", {}, True),  # full, because of the repeats
        ("abcda", {"early_stopping_metric": "unseen/ndcg@10"}, False),
        ("abcde", {}, False),
        ("abcde", {"early_stopping_metric": "full/ndcg@10"}, True),
    ],
)
def test_the_next_command_serves_what_the_run_reports(main, tmp_path, sequence, settings, served):
    sequences = [sequence] * 8 + ["abcdef"]
    rows = [f"u{user}\t{item}\t{time}" for user, items in enumerate(sequences) for time, item in enumerate(items)]
    (tmp_path / "data.tsv").write_text("\n".join(["user_id\titem_id\ttimestamp", *rows]))
    changes = [part for name, value in (FAST | settings).items() for part in ("--set", f"{name}={json.dumps(value)}")]
    out = tmp_path / "run"
    code, said, error = main("easrec", "run", "--data", tmp_path / "data.tsv", "--out", out, "--no-report", *changes)
    assert code == 0, error
    (command,) = [line.split()[1:] for line in said.splitlines() if line.startswith("next: ")]
    assert command[:3] == ["elasticnas", "easrec", "recommend"] and ("--repeats" in command) == served
    code, said, error = main("easrec", "refit", "--out", out)
    assert code == 0 and ("--repeats" in said) == served, error
    # the list of the command, with the test target taken back: what evaluate counts
    code, said, error = main("easrec", "evaluate", "--out", out, "--beyond", "--json")
    found = json.loads(said)
    assert {key for key in found if key.startswith("test/beyond/") and key.endswith("/coverage")} == {
        f"test/beyond/{'full' if served else 'unseen'}/coverage"
    }
    _, said, _ = main(*command[1:], "--json")
    assert set(json.loads(said)["items"]) == (set("abcdef") if served else set("abcdef") - set(sequence))


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


@pytest.mark.parametrize(
    ("metric", "repeats"), [("unseen/ndcg@3", False), ("full/ndcg@3", True), ("pop100/mrr@3", False)]
)
def test_lists_equal_what_recommend_answers(metric, repeats):
    rng = np.random.default_rng(3)
    data = interactions([rng.choice(list("abcdefgh"), rng.integers(3, 15)).tolist() for _ in range(20)])
    config = Config().updated(SMALL | {"early_stopping_metric": metric})
    arch = space_for(config.model).largest()
    recommender = Recommender(build(config.model, len(data.item_ids) - 1, arch, True), arch, config, data.item_ids)
    lists = closer.test_lists(recommender.network.next_item, Split(data), config, torch.device("cpu"))
    for user, row in enumerate(lists):
        history = [data.item_ids[i] for i in data.items[data.offsets[user] : data.offsets[user + 1] - 1]]
        answer = [item for item, _ in recommender.recommend([history], 3, repeats)[0]]
        assert [data.item_ids[i] for i in row if i] == answer


@pytest.mark.parametrize("metric", ["unseen/ndcg@10", "full/ndcg@10"])
def test_evaluate_writes_users_and_shows_groups(tmp_path, metric):
    own, lists = metric.partition("/")[0], "recommend --repeats" if metric.startswith("full") else "recommend"
    run = Run(tmp_path / "run")
    Pipeline(
        interactions(["abcda", "bcade"] * 9),
        Config().updated(FAST | {"early_stopping_metric": metric}),
        run,
        torch.device("cpu"),
    ).run_all(False)
    command = ["evaluate", "--out", str(tmp_path / "run"), "--beyond", "--per-user", str(tmp_path / "users.parquet")]
    done = CliRunner().invoke(commands, [*command, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found[f"test/history 1-5/{own}/users"] == 18 and 0 < found[f"test/beyond/{own}/coverage"] <= 1
    assert found[f"test/history 1-5/{own}/recall@10"] == {"unseen": 0.5, "full": 1.0}[own]
    users = pl.read_parquet(tmp_path / "users.parquet")
    assert users["target"].to_list() == ["a", "e"] * 9
    assert users["rank_unseen"].to_list()[::2] == [None] * 9 and users["rank_unseen"].to_list()[1] == 1
    # every item is in a list of ten, unless those of the history are left out
    assert set(users["items"].to_list()[1]) == {"unseen": {"e"}, "full": set("abcde")}[own]
    shown = CliRunner().invoke(commands, command).stdout
    assert f"test, beyond (lists of {lists}, {own}): coverage" in shown
    assert f"test, history 1-5 ({own}): users 18" in shown
    assert f"steering: {metric}, the lists of {lists}; 25.0% of the validation and test targets are repeats" in shown
    assert "repeat targets: 0.0% of validation, 50.0% of test" in shown
