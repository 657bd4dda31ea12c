"""The stages of a run: what is kept when one fails, and what is refused before any."""

import io
import json

import pytest
import torch
from rich.console import Console

from easrec import pipeline
from easrec.config import Config
from easrec.data import prepare
from easrec.data.synthetic import planted
from easrec.pipeline import Pipeline, _plan_of
from easrec.presets import load_preset
from easrec.result import RunResult
from elasticnas.errors import BudgetError, CheckpointError, ConfigError, SearchError
from elasticnas.run import Run

SMALL = {
    "model.hidden": 16,
    "model.inner": 16,
    "model.length": 8,
    "model.layers": 2,
    "model.heads": 2,
    "search.epochs": 2,
    "search.random_architectures": 2,
    "train.epochs": 2,
    "negatives": 10,
}
SIZES = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "log.tsv"
    planted(users=60, items=24, categories=4, length=9).write(path)
    return path


@pytest.fixture(scope="module")
def data():
    return prepare(planted(users=60, items=24, categories=4, length=9).frame)


def run(data, folder, changes=None, resume=False):
    config = Config().updated(SMALL | (changes or {}))
    return Pipeline(data, config, Run(folder, resume=resume), torch.device("cpu"), Console(file=io.StringIO()))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("trained", [0, 1])
def test_a_run_whose_training_failed_goes_on_without_searching_again(data, tmp_path, monkeypatch, trained):
    whole = run(data, tmp_path / "whole").run_all()
    train, calls = pipeline.train, []

    def failing(*given, **options):
        calls.append(None)
        if len(calls) > trained:
            raise SearchError("no more")
        return train(*given, **options)

    def search_again(*_given, **_options):
        raise AssertionError("the search was finished")

    monkeypatch.setattr(pipeline, "train", failing)
    with pytest.raises(SearchError, match="no more"):
        run(data, tmp_path / "cut").run_all()
    assert not (tmp_path / "cut" / "search" / "checkpoint").exists()
    assert (tmp_path / "cut" / "supernet.ckpt").exists()
    assert (tmp_path / "cut" / "result.json").exists() == bool(trained)
    monkeypatch.setattr(pipeline, "train", train)
    monkeypatch.setattr(pipeline, "search_architecture", search_again)
    resumed = run(data, tmp_path / "cut", resume=True).run_all()
    for name, network in whole.networks.items():
        again = resumed.networks[name]
        assert (again.architecture, again.metrics) == (network.architecture, network.metrics)
        assert (again.flops, again.params) == (network.flops, network.params)
    assert len(whole.networks) == 3 and resumed.search.result.random_tried == whole.search.result.random_tried


def test_without_a_search_the_largest_network_must_be_within_the_budget(data, tmp_path):
    unsearched = {"search.strategy": "none", "compare": []}
    message = (
        r"search\.strategy=none trains the largest network, ([\d,]+) FLOPs, over search\.budget=50% \(([\d,]+)\): set "
        r"search\.budget=null, or a number of FLOPs and smaller sizes"
    )
    with pytest.raises(BudgetError, match=message) as raised:
        run(data, tmp_path / "over", unsearched)
    assert "\n" not in str(raised.value) and not (tmp_path / "over").exists()
    flops = run(data, tmp_path / "free", unsearched | {"search.budget": None}).run_all().networks["found"].flops
    assert f"{flops:,.0f} FLOPs" in str(raised.value) and f"({flops / 2:,.0f})" in str(raised.value)
    for budget in ("100%", str(flops)):
        run(data, tmp_path / budget, unsearched | {"search.budget": budget})
    with pytest.raises(BudgetError, match="trains the largest network"):
        run(data, tmp_path / "under", unsearched | {"search.budget": str(flops - 1)})


def test_without_a_search_no_file_of_one_is_named(main, log, tmp_path):
    out = tmp_path / "o"
    given = ["--data", log, "--out", out, "--budget", "none", "--threads", 1, *SIZES, "--set", "search.strategy=none"]
    code, said, warned = main("easrec", "search", *given)
    assert code == 0, warned
    assert "search.json" not in said and not (out / "search.json").exists()
    assert f"retrain --out {out} trains the largest network" in said
    assert main("easrec", "retrain", "--out", out, "--threads", 1)[0] == 0
    result = RunResult.from_dict(json.loads((out / "result.json").read_text()))
    assert result.search is None and result.networks["found"].flops == result.networks["largest"].flops


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_run_reports_every_step_and_is_alone_in_its_folder(data, tmp_path):
    told = []
    config = Config().updated(SMALL | {"compare": []})
    given = (torch.device("cpu"), Console(file=io.StringIO()))
    result = Pipeline(data, config, Run(tmp_path, progress=told.append), *given).run_all()
    lines = {part: [] for part in ("search", "train")}
    for path in tmp_path.glob("*/metrics.jsonl"):
        lines[path.parent.name.partition("-")[0]] += [json.loads(line) for line in path.read_text().splitlines()]
    trained = [progress for progress in told if "epoch" in progress.figures]
    assert [p.figures["loss"] for p in trained] == [line["loss"] for line in lines["train"]] and trained
    searched = [progress.step for progress in told if "epoch" not in progress.figures]
    assert max(searched) == result.search.result.steps and searched[0] == 1
    with pytest.raises(ConfigError, match=r"a run of EASRec needs a folder: Run\(folder\)"):
        Pipeline(data, config, Run(), *given)
    with pytest.raises(ConfigError, match="a Run without allow: its stages build on each other"):
        Pipeline(data, config, Run(tmp_path, allow={"steps"}), *given)
    with Run(tmp_path), pytest.raises(CheckpointError, match="is in use by another run"):
        Pipeline(data, config, Run(tmp_path, resume=True), *given).__enter__()


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        # 10 epochs of three candidates; then 30 epochs each of two networks at half the FLOPs and of the largest one
        ({}, 15 + 15 + 15 + 30),
        ({"search.budget": "2M"}, 15 + 30 + 30 + 30),
        ({"compare": []}, 15 + 15),
    ],
)
def test_what_is_left_counts_all_stages_by_their_size(changes, left):
    plan = _plan_of(load_preset("demo", changes))
    # half of the search's 30 passes in 15 s: a pass a second
    assert plan.of("search")(0.5, 15.0)[1] == pytest.approx(left)
