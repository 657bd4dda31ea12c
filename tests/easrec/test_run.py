"""Whole runs through the command line."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from easrec.artifact import Recommender
from easrec.data import Interactions, Split
from easrec.data.synthetic import planted
from easrec.evaluation import Evaluator, draw_negatives
from elasticnas.cost import Flops

COMMAND = [sys.executable, "-c", "from elasticnas.cli import main; main()", "easrec"]
TINY = [
    "model.hidden=16",
    "model.inner=16",
    "model.length=12",
    "model.layers=2",
    "model.heads=2",
    "search.epochs=3",
    "search.batch=64",
    "search.update_every=2",
    "search.warmup=0.1",
    "train.epochs=3",
    "train.batch=64",
    "train.patience=3",
    "checkpoint_steps=3",
    "search.random_architectures=2",
    "negatives=20",
]


def easrec(*arguments, **options):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, **options)


def tiny(command, data, out, *more):
    settings = [part for change in TINY for part in ("--set", change)]
    return [command, "--data", data, "--out", out, "--threads", 1, *settings, *more]


def figures(folder: Path):
    """Everything of a result but clocks."""

    def strip(value):
        if isinstance(value, dict):
            return {
                k: strip(v)
                for k, v in value.items()
                if "seconds" not in k and "latency" not in k and k not in ("created", "command")
            }
        return [strip(v) for v in value] if isinstance(value, list) else value

    return strip(json.loads((folder / "result.json").read_text()))


@pytest.fixture(scope="module")
def interactions(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "planted.tsv"
    planted(users=300, items=48, categories=4, length=12).write(path)
    return path


@pytest.fixture(scope="module")
def finished(interactions, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    done = easrec(*tiny("run", interactions, out))
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_a_run_ends_in_a_table_and_a_result(finished):
    out, printed = finished
    for text in ("found by search", "random search", "largest", "latency, ms", "test pop100 ndcg@10", "result.json"):
        assert text in printed
    result = json.loads((out / "result.json").read_text())
    assert result["found/flops"] <= 0.5 * result["largest/flops"] == result["search/limit_flops"]
    for network in ("largest", "found", "random"):
        for stage in ("validation", "test"):
            for protocol in ("full", "unseen", "pop100"):
                assert 0 <= result[f"{network}/{stage}/{protocol}/ndcg@10"] <= 1
    assert result["data"]["users"] == 300 and len(result["data"]["fingerprint"]) == 64
    assert {"torch", "elasticnas", "python", "threads", "processor", "commit"} <= result["environment"].keys()
    assert result["environment"]["command"].endswith("--set search.random_architectures=2 --set negatives=20")
    page = (out / "result.md").read_text()
    assert f"| test pop100 ndcg@10 | {result['largest/test/pop100/ndcg@10']:.4f} |" in page
    assert "* `model.layers`: 2 (default 4)" in page and "* seed: 0" in page


def test_killing_a_run_at_ten_random_moments_changes_no_figure(interactions, finished, tmp_path):
    expected = figures(finished[0])
    rng, killed, compared = random.Random(0), 0, 0
    while killed < 10 or not compared:
        out = tmp_path / f"out{compared}"
        command = [*COMMAND, *map(str, tiny("run", interactions, out, "--resume"))]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        # start-up takes seconds: wait for the folder's next write, then a random while
        before = newest(out)
        while process.poll() is None and newest(out) == before:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.4))
        if killed < 10 and process.poll() is None:
            process.send_signal(signal.SIGINT if killed % 3 == 2 else signal.SIGKILL)
            killed += 1
        _, said = process.communicate()
        if process.returncode == 0:
            assert figures(out) == expected
            compared += 1
        else:
            assert process.returncode in (-signal.SIGKILL, 130), said


def newest(folder: Path) -> float:
    times = [path.stat().st_mtime_ns for path in folder.glob("*.ckpt")] if folder.exists() else []
    return max(times, default=0)


def test_stages_one_by_one_give_the_same_figures(interactions, finished, tmp_path):
    out, _ = finished
    prepared, staged = tmp_path / "data.npz", tmp_path / "out"
    assert easrec("prepare", "--data", interactions, "--out", prepared).returncode == 0
    searched = easrec(*tiny("search", prepared, staged))
    assert searched.returncode == 0 and "found:" in searched.stdout, searched.stderr
    assert easrec("retrain", "--out", staged, "--threads", 1).returncode == 0
    assert figures(staged) == figures(out)
    evaluated = easrec("evaluate", "--out", staged, "--threads", 1)
    result = json.loads((staged / "result.json").read_text())
    assert f"{result['found/test/pop100/ndcg@10']:.4f}" in evaluated.stdout
    flat = json.loads(easrec("evaluate", "--out", staged, "--threads", 1, "--popularity", 0.3, "--json").stdout)
    assert flat.keys() == {key.removeprefix("found/") for key in result if key.startswith("found/") and "@" in key}
    assert flat["test/unseen/ndcg@10"] != result["found/test/unseen/ndcg@10"]
    refused = easrec(*tiny("run", prepared, staged))
    assert refused.returncode == 1 and "holds a run already; --resume continues it" in refused.stderr
    other = easrec(*tiny("run", prepared, staged, "--resume", "--seed", 5))
    assert other.returncode == 1 and "settings (seed was 0, is 5)" in other.stderr


def test_recommendations_are_original_ids(finished, interactions):
    out, _ = finished
    answer = easrec("recommend", "--out", out, "--user", "user-00007", "--top", 3, "--json")
    assert answer.returncode == 0, answer.stderr
    items = json.loads(answer.stdout)["items"]
    seen = {line.split("\t")[1] for line in interactions.read_text().splitlines() if line.startswith("user-00007\t")}
    assert len(items) == 3 and all(item.startswith("item-") for item in items) and not seen & set(items)
    table = easrec("recommend", "--out", out, "--history", f"{items[0]},{items[1]}")
    assert table.returncode == 0 and "item-" in table.stdout
    for wrong, message in (
        (("--history", "nothing"), "unknown item 'nothing'"),
        (("--user", "nobody"), "unknown user 'nobody'"),
        ((), "give --user or --history"),
    ):
        refused = easrec("recommend", "--out", out, *wrong)
        assert refused.returncode == 1 and message in refused.stderr and refused.stderr.count("\n") == 1


def test_a_saved_model_that_is_damaged_is_refused(finished, tmp_path):
    out, _ = finished
    copy = tmp_path / "model"
    copy.mkdir()
    for name in ("architecture.json", "recommender.json"):
        (copy / name).write_bytes((out / "model" / name).read_bytes())
    (copy / "model.safetensors").write_bytes((out / "model" / "model.safetensors").read_bytes()[:-9])
    refused = easrec("recommend", "--out", tmp_path, "--history", "a")
    assert refused.returncode == 1 and "checksum" in refused.stderr and refused.stderr.count("\n") == 1


def test_real_interactions_end_to_end(real_data, tmp_path):
    out = tmp_path / "ml-100k"
    settings = [
        "model.hidden=32",
        "model.inner=64",
        "model.length=100",
        "model.layers=2",
        "model.mixing=mask",
        "model.gate_rank=8",
        "search.epochs=2",
        "search.batch=32",
        "search.update_every=5",
        "search.random_architectures=2",
        "train.epochs=4",
        "train.batch=32",
        "train.learning_rate=0.003",
        "compare=[largest]",
    ]
    changes = [part for change in settings for part in ("--set", change)]
    done = easrec("run", "--data", real_data / "ml-100k.tsv.gz", "--out", out, "--budget", "50%", *changes)
    assert done.returncode == 0, done.stderr
    assert "943" in done.stdout and "1,682" in done.stdout and "100,000" in done.stdout
    result = json.loads((out / "result.json").read_text())
    assert result["found/flops"] <= 0.5 * result["largest/flops"]
    # popularity alone gives about 0.05 and 0.13
    assert result["found/test/pop100/ndcg@10"] > 0.2
    recommender, data = Recommender.load(out / "model"), Interactions.load(out / "data.npz")
    example = torch.ones(1, 100, dtype=torch.long)
    split = Split(data)
    negatives = draw_negatives(split.training.counts(split.items), split.everything(), 100, 0)
    evaluator = Evaluator(split.history("test"), split.targets("test"), negatives, 100)
    report = evaluator.evaluate(recommender.network.next_item)
    for key, value in report.to_flat().items():
        assert result[f"found/test/{key}"] == pytest.approx(value, abs=1e-12)
    from easrec.model import supernet

    config = recommender.config
    assert Flops(supernet(config.model, split.items, True), example)(recommender.arch) == result["found/flops"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["--preset", "nothing"], "no preset 'nothing'"),
        (["--set", "model.nothing=1"], "unknown setting 'model.nothing'"),
        (["--set", "model.layers"], "write name=value"),
        (["--budget", "1%"], "smallest"),
        (["--budget", "half"], "budget"),
        (["--device", "cuda:7"], "not available here"),
        (["--item", "movie"], "no column 'movie'; the columns are user_id, item_id, timestamp"),
        (["--format", "xml"], "format 'xml' is unknown"),
    ],
)
def test_wrong_options_are_one_line(main, interactions, tmp_path, settings, message):
    code, _, printed = main("easrec", "run", "--data", interactions, "--out", tmp_path / "o", *settings)
    assert code == 1 and message in printed and printed.count("\n") == 1


def test_wrong_usage_exits_2(main):
    assert main("easrec", "nothing")[0] == 2


def test_output_without_a_terminal_has_no_colour_codes(finished):
    assert "\x1b[" not in finished[1]
