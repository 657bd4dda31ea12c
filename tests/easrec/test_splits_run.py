"""Runs on data split by time, by session and by given parts: figures equal those of a loop over users."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

import easrec
from easrec.cli import commands
from easrec.data import Split, prepare
from easrec.data.partition import by_session, by_time, given, leave_one_out
from easrec.pipeline import evaluators
from easrec.result import RunResult
from easrec.source import show_statistics

FAST = {
    "model": {"hidden": 16, "inner": 16, "length": 8, "layers": 1},
    "search": {"epochs": 1, "random_architectures": 1},
    "train": {"epochs": 2},
    "negatives": 4,
    "cutoffs": [3, 10],
    "early_stopping_metric": "full/ndcg@3",
}
USERS, ITEMS = 60, 14


@pytest.fixture(scope="module")
def drawn():
    """Sequences that start at any time between 0 and 99, and the time of every interaction in their order."""
    rng = np.random.default_rng(5)
    rows = []
    for user in range(USERS):
        first, length = int(rng.integers(0, 100)), int(rng.integers(3, 9))
        step = int(rng.integers(1, 6))
        start = int(rng.integers(ITEMS))
        rows += [(f"u{user}", f"i{(start + t + rng.integers(2)) % ITEMS}", first + t * step) for t in range(length)]
    frame = pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "time": pl.Int64}, orient="row")
    data, by_user = prepare(frame), {}
    for user, _, time in rows:
        by_user.setdefault(user, []).append(time)
    return data, np.array([time for user in data.user_ids for time in by_user[user]])


def split_of(kind, drawn):
    data, times = drawn
    if kind == "time":
        return replace(data, partition=by_time(times, data.offsets, 70, 90))
    if kind == "sessions":
        return replace(data, partition=by_session(times, data.offsets, 70, 90))
    parts = ((times >= 60).astype(np.int8) + (times >= 85)).astype(np.int8)
    return replace(data, partition=given(parts, data.offsets))


def targets_by_hand(kind, times):
    """Position of the target of one user in each stage, None if there is none; and how many items train."""
    first, second = (60, 85) if kind == "given" else (70, 90)
    parts = [int(t >= first) + int(t >= second) for t in times]
    if kind == "sessions":
        ends = [len(times) - 1 if parts[-1] == part else None for part in (1, 2)]
        return ends, 0 if parts[-1] else len(times)
    found = [next((n for n, part in enumerate(parts) if part == window), None) for window in (1, 2)]
    return [n or None for n in found], sum(part == 0 for part in parts)


def rank(scores, target, candidates):
    return 1 + sum(scores[c] >= scores[target] for c in candidates if c != target)


def novelty(kind, data, times, lists):
    """Mean of -log2 of the share of training users who have an item, over each list, then over lists."""
    users, having = 0, {}
    for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True):
        trained = data.items[a : a + targets_by_hand(kind, times[a:b])[1]].tolist()
        users += bool(trained)
        for item in set(trained):
            having[data.item_ids[item]] = having.get(data.item_ids[item], 0) + 1
    means = [np.mean([-math.log2(max(having.get(i, 0), 1) / users) for i in each]) for each in lists if each]
    return np.mean(means)


@pytest.fixture(scope="module", params=["time", "sessions", "given"])
def run(request, drawn, tmp_path_factory):
    out = tmp_path_factory.mktemp("splits") / request.param
    data = split_of(request.param, drawn)
    return request.param, out, data, drawn[1], easrec.run(data, "demo", out, settings=FAST, progress=None)


def test_figures_equal_a_loop_over_users(run):
    kind, out, data, times, result = run
    recommender = easrec.Recommender.load(out)
    every, trained = range(1, ITEMS + 1), []
    counts = np.zeros(ITEMS + 1)
    sequences = [data.items[a:b].tolist() for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]
    clocks = [times[a:b].tolist() for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]
    for sequence, clock in zip(sequences, clocks, strict=True):
        trained += sequence[: targets_by_hand(kind, clock)[1]]
    np.add.at(counts, trained, 1)
    for number, stage in enumerate(("validation", "test")):
        gains, popular, misses, cold, strangers, repeats, evaluated = [], [], [], 0, 0, 0, 0
        for sequence, clock in zip(sequences, clocks, strict=True):
            where = targets_by_hand(kind, clock)[0][number]
            if where is None:
                begin = (60, 85)[number] if kind == "given" else (70, 90)[number]
                end = ((85, 1e9) if kind == "given" else (90, 1e9))[number]
                inside = [begin <= t < end for t in clock]
                strangers += inside[0] if kind != "sessions" else inside[-1] and len(clock) == 1
                continue
            history, target = sequence[:where], sequence[where]
            last = history[-FAST["model"]["length"] :]
            with torch.no_grad():
                scores = recommender.network.next_item(torch.tensor([last]), torch.tensor([len(last)]))[0].tolist()
            position = rank(scores, target, every)
            gains.append(1 / math.log2(position + 1) if position <= 3 else 0.0)
            unseen = rank(scores, target, [c for c in every if c not in history])
            misses.append(float(unseen <= 3 and target not in history))
            popular.append(float(rank(counts, target, every) <= 3))
            cold += counts[target] == 0
            repeats += target in history
            evaluated += 1
        assert 1 < evaluated < USERS
        assert result.figure("found", stage, "full", "ndcg@3") == pytest.approx(np.mean(gains), abs=1e-9)
        assert result.figure("found", stage, "unseen", "recall@3") == pytest.approx(np.mean(misses), abs=1e-9)
        assert result.baselines["popularity"][stage]["full"]["recall@3"] == pytest.approx(np.mean(popular), abs=1e-9)
        error = result.networks["found"].standard_errors[stage]["full"]["ndcg@3"]
        assert error == pytest.approx(np.std(gains, ddof=1) / math.sqrt(evaluated))
        assert result.evaluated_users[stage] == evaluated
        assert result.data.split.kind == kind
        assert result.data.split.cold_users[stage] == strangers
        assert result.data.split.cold_targets[stage] == cold
        assert result.repeat_targets[stage] == pytest.approx(repeats / evaluated)


def test_pages_say_the_split_and_results_load_again(run):
    kind, out, data, _, result = run
    label = {"time": "two points in time", "sessions": "sessions by two points in time", "given": "given parts"}[kind]
    line = f"split: {label}, {result.data.split.training_users} users with training items; validation: "
    assert line in (out / "result.md").read_text() and line.partition(": ")[2] in (out / "report.html").read_text()
    assert label in str(result)
    said = io.StringIO()
    show_statistics(data, Split(data), Console(file=said, width=500))
    assert said.getvalue().count(line) == 1
    again = RunResult.from_dict(json.loads((out / "result.json").read_text()))
    assert again.data.split == result.data.split
    old = result.to_dict()
    del old["data"]["split"]
    assert RunResult.from_dict(old).data.split is None


def test_per_user_files_name_the_evaluated_users(run, tmp_path):
    kind, out, data, times, result = run
    command = ["evaluate", "--out", str(out), "--json", "--beyond", "--per-user", str(tmp_path / "users.parquet")]
    done = CliRunner().invoke(commands, command)
    assert done.exit_code == 0, done.output
    found, users = json.loads(done.stdout), pl.read_parquet(tmp_path / "users.parquet")
    expected = {}
    for name, a, b in zip(data.user_ids, data.offsets[:-1], data.offsets[1:], strict=True):
        where = targets_by_hand(kind, times[a:b])[0][1]
        if where is not None:
            expected[name] = data.item_ids[data.items[a + where]]
    assert dict(zip(users["user"], users["target"], strict=True)) == expected
    hits = [rank is not None and rank <= 3 for rank in users["rank_full"]]
    assert np.mean(hits) == pytest.approx(result.figure("found", "test", "full", "recall@3"))
    assert found["test/evaluated_users"] == len(users) == len(expected)
    for name in ("popularity", "last item"):
        assert found[f"test/{name}/full/ndcg@3"] == result.baselines[name]["test"]["full"]["ndcg@3"]
    assert found["test/beyond/full/novelty"] == pytest.approx(novelty(kind, data, times, users["items"].to_list()))
    groups = [value for key, value in found.items() if key.startswith("test/history") and key.endswith("/full/users")]
    assert sum(groups) == len(users)
    shown = CliRunner().invoke(commands, ["evaluate", "--out", str(out)]).stdout
    assert "cold users left out" in shown and "users with training items" in shown


def test_negatives_are_none_of_the_users_items(drawn):
    data = split_of("time", drawn)
    for evaluator in evaluators(easrec.data.Split(data), easrec.Config().updated(FAST)).values():
        for row, user in enumerate(evaluator.users):
            own = set(data.items[data.offsets[user] : data.offsets[user + 1]].tolist())
            assert not own & set(evaluator.negatives[row].tolist()) and not own & set(evaluator.uniform[row].tolist())


def test_refit_trains_on_everything_and_everybody_gets_recommendations(run, tmp_path):
    _, out, data, _, _ = run
    done = CliRunner().invoke(commands, ["refit", "--out", str(out), "--to", str(tmp_path / "served")])
    assert done.exit_code == 0, done.output
    command = ["recommend", "--out", str(tmp_path / "served"), "--users", "all", "--to", str(tmp_path / "all.csv")]
    done = CliRunner().invoke(commands, [*command, "--repeats", "--top", "2"])
    assert done.exit_code == 0, done.output
    assert pl.read_csv(tmp_path / "all.csv")["user"].n_unique() == len(data.user_ids)


def test_leave_one_out_said_by_a_partition_gives_the_same_run(drawn, tmp_path):
    data, _ = drawn
    results = [
        easrec.run(each, "demo", tmp_path / name, settings=FAST | {"compare": []}, progress=None)
        for name, each in (("none", data), ("last", replace(data, partition=leave_one_out(data.offsets))))
    ]
    assert results[0].networks["found"].metrics == results[1].networks["found"].metrics
    assert results[0].data == results[1].data
