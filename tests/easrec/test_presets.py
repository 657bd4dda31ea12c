"""Every preset runs from interactions to a result, at small sizes but with all its options."""

import io

import pytest
import torch
from rich.console import Console

from easrec.artifact import Recommender
from easrec.data import prepare
from easrec.data.synthetic import planted
from easrec.pipeline import Pipeline
from easrec.presets import load_preset, preset_names
from elasticnas.run import Run

SMALL = {
    "model.hidden": 16,
    "model.inner": 16,
    "model.length": 8,
    "model.layers": 2,
    "search.epochs": 2,
    "search.batch": 64,
    "search.random_architectures": 2,
    "train.epochs": 2,
    "train.batch": 64,
    "negatives": 10,
    "seed": 1,
}


@pytest.fixture(scope="module")
def data():
    return prepare(planted(users=60, items=24, categories=4, length=9).frame)


# the others differ from default in sizes alone, or run whole elsewhere (demo)
QUICK = ("default", "ml-1m", "paper", "authors")
PRESETS = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in preset_names()]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_runs_to_its_end(data, name, tmp_path):
    changes = SMALL | ({"model.gate_rank": 4} if name == "ml-1m" else {})
    if name == "wide":  # its sizes are options of each layer
        changes = {key: value for key, value in changes.items() if key not in ("model.hidden", "model.inner")}
        changes |= {"search.budget": "200k", "model.gate_rank": 4}
    config = load_preset(name, changes)
    run = Pipeline(data, config, Run(tmp_path), torch.device("cpu"), Console(file=io.StringIO()))
    result = run.run_all()
    limit = result.search.result.limits.get("flops")
    assert (limit is None) == (config.search.budget is None)
    assert limit is None or result.networks["found"].flops <= limit <= result.networks["largest"].flops
    for stage in ("validation", "test"):
        for protocol in ("full", "unseen", "pop100"):
            assert 0 < result.figure("found", stage, protocol, f"recall@{max(config.cutoffs)}") <= 1
    recommender = Recommender.load(tmp_path / "model")
    seen = [data.item_ids[i] for i in (1, 2, 3)]
    (answer,) = recommender.recommend([seen], top=5)
    assert len(answer) == 5 and not {item for item, _ in answer} & set(seen)
