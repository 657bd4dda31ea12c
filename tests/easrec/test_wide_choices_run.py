"""Kind of scores and bias by time as choices, in runs, saved models and comparisons."""

import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from easrec import Recommender
from easrec.cli import commands
from easrec.contest import task
from easrec.data import prepare, read_interactions
from easrec.data.synthetic import planted
from easrec.export import export
from easrec.parts import parts, scaled_sizes
from easrec.presets import load_preset
from easrec.result import RunResult
from elasticnas.cost import count_flops
from elasticnas.errors import CheckpointError, ConfigError, DataError
from elasticnas.run import Run
from elasticnas.study import Study, StudySettings
from tests.easrec.runs import untrained_run
from tests.easrec.test_wide_run import SMALL

CHOICES = {
    "model.wide.attention": ["softmax", "hstu"],
    "model.time_bias": "target",
    "model.wide.scores": ["dot", "cosine"],
    "model.wide.time_bias": [False, True],
}
MODEL = {
    "space": "wide",
    "layers": 2,
    "length": 8,
    "time_bias": "target",
    "wide": {
        "hidden": [8],
        "heads": [1],
        "head_dim": 4,
        "inner": [8],
        "gates": [0],
        "attention": ["softmax", "hstu"],
        "scores": ["dot", "cosine"],
        "time_bias": [False, True],
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("choices") / "log.tsv"
    planted(users=60, items=24, categories=4, length=9).write(path)
    return path


@pytest.mark.parametrize("strategy", ["spos", "darts"])
def test_a_run_searches_them(data, tmp_path, strategy):
    settings = SMALL | CHOICES | {"search.strategy": strategy, "search.architecture_data": "held-out"}
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    out = tmp_path / "run"
    call = ["run", "--data", str(data), "--preset", "wide", *sets, "--out", str(out)]
    done = CliRunner().invoke(commands, call)
    assert done.exit_code == 0, done.output
    assert "time_bias=False uses no times" in " ".join(done.output.split())
    result = RunResult.from_dict(json.loads((out / "result.json").read_text()))
    found, recommender = result.networks["found"], Recommender.load(out)
    arch = found.architecture
    assert recommender.arch == arch and recommender.network.time_bias == ("target" if arch.time_bias else "none")
    assert sum(each.numel() for each in recommender.network.parameters()) == found.params
    page = (out / "result.md").read_text()
    assert found.sizes in page and "| hidden, layers, scores, times |" in page and "dot or cosine is the kind" in page
    for more in (["evaluate"], ["refit", "--to", str(tmp_path / "refit")], [*call[:-2], "--resume"], ["retrain"]):
        done = CliRunner().invoke(commands, [*more, "--out", str(out)])
        assert done.exit_code == 0, done.output
    done = CliRunner().invoke(commands, ["recommend", "--user", "user-00003", "--out", str(tmp_path / "refit")])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("scores", ["dot", "cosine"])
@pytest.mark.parametrize("times", [True, False])
def test_saved_networks_are_asked_with_the_times_that_they_use(main, data, tmp_path, scores, times):
    known = prepare(read_interactions(data))
    untrained_run(tmp_path, known, MODEL, choices={"scores": scores, "time_bias": times})
    recommender = Recommender.load(tmp_path)
    a, b = known.offsets[3], known.offsets[4]
    history, when = [known.item_ids[i] for i in known.items[a:b]], known.times[a:b].tolist()
    ids = torch.from_numpy(known.items[a:b][-8:].astype(np.int64))[None]
    own, at = torch.tensor(when[-8:])[None], int(known.times.max())
    given = (own, torch.cat([own[:, 1:], torch.tensor([[at]])], 1)) if times else ()
    expected = recommender.network.next_item(ids, torch.tensor([ids.shape[1]]), *given)[0].topk(10).values.tolist()

    def asked(*options):
        return main("easrec", "recommend", "--out", tmp_path, "--repeats", "--json", *options)

    code, printed, said = asked("--user", known.user_ids[3])
    assert code == 0, said
    assert json.loads(printed)["scores"] == pytest.approx(expected, abs=1e-4)
    assert ("the last time in the data" in said) == times
    why = r"model.time_bias=target, and the architecture of this network has time_bias=False"
    code, printed, said = asked("--user", known.user_ids[3], "--at", at)
    assert (code == 0) == times and (times or why in said)
    code, printed, said = asked("--history", ",".join(history))
    assert (code == 1 and "has no times, which this network uses" in said) if times else code == 0, said
    if times:
        assert len(recommender.recommend([history], 10, times=[when], at=at)[0]) == 10
        with pytest.raises(ConfigError, match="an exported scorer has no input for times"):
            export(recommender, "torch", tmp_path / "model.pt2")
        return
    assert json.loads(printed)["scores"] == pytest.approx(expected, abs=1e-4)
    with pytest.raises(DataError, match=why):
        recommender.recommend([history], 10, times=[when], at=at)
    export(recommender, "torch", tmp_path / "model.pt2")
    found = torch.export.load(tmp_path / "model.pt2").module()(ids)[0].topk(10).values
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("change", [('"time_bias": true', '"time_bias": false'), ('"dot"', '"cosine"')])
def test_an_edited_choice_is_refused(data, tmp_path, change):
    """The weights of one kind of scores fit the other, which would give other scores without a word."""
    known = prepare(read_interactions(data))
    untrained_run(tmp_path, known, MODEL)
    path = tmp_path / "model" / "architecture.json"
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(CheckpointError, match=r"architecture\.json: edited or damaged"):
        Recommender.load(tmp_path)


def test_the_uniform_baseline_of_a_comparison_has_the_options_of_the_largest(data, tmp_path):
    config = load_preset("wide", SMALL | {"search.batch": 8} | CHOICES)
    sizes = scaled_sizes(config.model, 0.5)
    assert (sizes.scores, sizes.time_bias) == ("dot", True)
    other = config.updated({"model.wide.scores": ["cosine", "dot"]})
    assert scaled_sizes(other.model, 0.5).scores == "cosine"
    assert not hasattr(scaled_sizes(load_preset("wide").model, 0.5), "scores")
    made = parts(prepare(read_interactions(data)), other, seed=1)
    network = made.build(made.scaled(0.5))
    assert network.time_bias == "target"
    y = torch.randn(2, network.items.weight.shape[1])
    expected = torch.nn.functional.cosine_similarity(y[:, None], network.items.weight[None], -1) / 0.05
    torch.testing.assert_close(network.scores(y)[:, 1:], expected[:, 1:], rtol=1e-4, atol=1e-4)
    settings = StudySettings(steps=4, tune_steps=2, scratch_steps=2, trials=6, population=2, shares=(0.3, 0.6))
    study = Study(made.problem, made.build, made.scaled, made.test, made.example, settings, name="choices")
    rows = study.run(Run(tmp_path / "study"), Console(file=io.StringIO())).rows
    assert any("uniform" in row.kind for row in rows)


def test_a_contest_takes_them(data):
    study = task(1, torch.device("cpu"), str(data), SMALL | CHOICES)
    for arch in (study.space.largest(), study.space.smallest()):
        assert count_flops(study.factory(arch), study.example) > 0
    assert study.space.smallest().time_bias is False
