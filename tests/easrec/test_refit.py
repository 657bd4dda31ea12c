"""refit: the found architecture, trained on everything, for serving."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import easrec
from easrec.cli import commands
from easrec.data import Interactions, Split
from easrec.refit import refit
from easrec.training import epoch_batches
from elasticnas.errors import CheckpointError, ConfigError, ElasticNASError

FAST = {
    "model": {"hidden": 16, "inner": 16, "length": 8, "layers": 2},
    "search": {"epochs": 1, "random_architectures": 1},
    "train": {"epochs": 2},
    "compare": [],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on cycles: item t is followed by item t + 1."""
    out = tmp_path_factory.mktemp("refit") / "run"
    lines = ["user_id,item_id,timestamp"]
    lines += [f"u{u},i{(u + t) % 10},{t}" for u in range(30) for t in range(6)]
    (out.parent / "data.csv").write_text("\n".join(lines))
    easrec.run(out.parent / "data.csv", "demo", out, settings=FAST, progress=None)
    return out


def test_the_targets_are_trained_on_and_the_architecture_is_the_found_one(run, tmp_path):
    ran = CliRunner().invoke(commands, ["refit", "--out", str(run), "--to", str(tmp_path / "served")])
    assert ran.exit_code == 0, ran.output
    assert "metrics cannot be measured" in ran.stdout
    before, after = easrec.Recommender.load(run), easrec.Recommender.load(tmp_path / "served")
    assert after.arch == before.arch and after.refit and not before.refit
    assert any(
        not np.array_equal(a.detach(), b.detach())
        for a, b in zip(before.network.parameters(), after.network.parameters(), strict=True)
    )
    best = json.loads((run / "result.json").read_text())["networks"]["found"]["training"]["best_epoch"]
    assert f"for {best} epochs" in ran.stdout
    # every item of every user was an input or a target
    data, config = Interactions.load(run / "data.npz"), before.config
    pairs = {(u, item) for u in range(30) for item in data.items[data.offsets[u] : data.offsets[u + 1]].tolist()}
    assert len(pairs) == 30 * 6
    [*batches] = epoch_batches(Split(data).complete(), config, config.train.batch, "cpu")(0)
    assert sum(int((batch.targets > 0).sum()) for batch in batches) == 30 * 5
    answered = CliRunner().invoke(commands, ["recommend", "--out", str(tmp_path / "served"), "--user", "u3", "--json"])
    assert answered.exit_code == 0 and len(json.loads(answered.stdout)["items"]) == 4  # 10 items without 6 seen


def test_a_refit_model_is_not_evaluated(run, tmp_path):
    recommender, data = easrec.Recommender.load(run), Interactions.load(run / "data.npz")
    refit(data, recommender.config, run, tmp_path / "served", next(recommender.network.parameters()).device)
    refused = CliRunner().invoke(commands, ["evaluate", "--out", str(tmp_path / "served")])
    assert isinstance(refused.exception, ConfigError) and "cannot be measured" in str(refused.exception)
    with pytest.raises(ElasticNASError, match="resume=True"):
        refit(data, recommender.config, run, tmp_path / "served", next(recommender.network.parameters()).device)


def test_what_cannot_be_refit_says_why(run, tmp_path):
    recommender, data = easrec.Recommender.load(run), Interactions.load(run / "data.npz")
    device = next(recommender.network.parameters()).device
    with pytest.raises(ConfigError, match="is the folder of the run"):
        refit(data, recommender.config, run, run, device)
    with pytest.raises(CheckpointError, match="finish the run first"):
        refit(data, recommender.config, tmp_path / "empty", tmp_path / "served", device)
