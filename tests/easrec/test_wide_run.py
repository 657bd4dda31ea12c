"""The wide space in a whole run, from data to a saved model, and in the parts of a comparison."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from easrec import Recommender, load_preset
from easrec.cli import commands
from easrec.data import Split, prepare
from easrec.data.synthetic import planted
from easrec.parts import parts, scaled_sizes
from easrec.result import RunResult
from easrec.space import space_for
from elasticnas.cost import count_flops
from elasticnas.errors import ConfigError
from elasticnas.run import Run
from elasticnas.search.report import drawing
from elasticnas.study import Study, StudySettings

SMALL = {
    "model.length": 8,
    "model.layers": 3,
    "model.wide.hidden": [8, 16],
    "model.wide.heads": [1, 2],
    "model.wide.head_dim": 4,
    "model.wide.inner": [0, 8, 16],
    "model.gate_rank": 4,
    "search.epochs": 2,
    "search.budget": "60k",
    "search.random_architectures": 6,
    "train.epochs": 2,
    "negatives": 10,
}
SIZES = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def data():
    return prepare(planted(users=60, items=24, categories=4, length=9).frame)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("wide")
    planted(users=60, items=24, categories=4, length=9).write(path / "log.tsv")
    call = ["run", "--data", str(path / "log.tsv"), "--preset", "wide", *SIZES, "--out", str(path / "run")]
    done = CliRunner().invoke(commands, call)
    assert done.exit_code == 0, done.output
    (path / "said.txt").write_text(done.output)
    return path


def result_of(folder):
    return RunResult.from_dict(json.loads((folder / "run" / "result.json").read_text()))


def test_a_run_finds_and_saves_a_network_within_the_budget(folder):
    result = result_of(folder)
    found = result.networks["found"]
    assert found.flops <= 60_000 < result.networks["largest"].flops
    recommender = Recommender.load(folder / "run")
    assert recommender.arch == found.architecture
    assert count_flops(recommender.network, torch.ones(1, 8, dtype=torch.long)) == found.flops
    assert sum(p.numel() for p in recommender.network.parameters()) == found.params


def test_pages_say_the_sizes_of_every_layer(folder):
    result = result_of(folder)
    sizes = result.networks["found"].sizes
    page = (folder / "run" / "result.md").read_text()
    assert sizes in page and "| hidden, layers |" in page and "A layer is its kind of attention" in page
    said = (folder / "said.txt").read_text()
    assert sizes.partition(", ")[2] in " ".join(said.split()) and "\nlayers " in said
    arch = result.networks["found"].architecture
    layers = drawing("found", arch).layers()
    assert len(layers) == arch.depth
    for layer, shown in enumerate(layers):
        assert ("heads" in shown) == (arch.attention[layer] != "none")
        assert ("gates" in shown) == (arch.inner[layer] != 0)
    row = next(row for row in result.table() if row["network"] == "found")
    assert row["hidden"] == result.networks["found"].hidden and "inner" in row


@pytest.mark.parametrize(
    "call",
    [
        ["evaluate"],
        ["recommend", "--history", "item-0001,item-0002"],
        ["refit", "--to", "{}/refit"],
        ["run", "--data", "{}/log.tsv", "--preset", "wide", *SIZES, "--resume"],
        ["retrain"],
    ],
)
def test_other_commands_take_the_run(folder, call):
    arguments = [part.replace("{}", str(folder)) for part in call]
    done = CliRunner().invoke(commands, [*arguments, "--out", str(folder / "run")])
    assert done.exit_code == 0, done.output


TIMED = {"model.wide.attention": ["softmax", "hstu", "none"], "model.time_bias": "target", "model.scores": "cosine"}


@pytest.mark.parametrize("changes", [{}, TIMED])
def test_parts_make_a_study(data, tmp_path, changes):
    config = load_preset("wide", SMALL | {"search.batch": 8} | changes)
    made = parts(data, config, seed=1)
    settings = StudySettings(steps=4, tune_steps=2, scratch_steps=2, trials=6, population=2, shares=(0.3, 0.6))
    study = Study(made.problem, made.build, made.scaled, made.test, made.example, settings, name="wide")
    result = study.run(Run(tmp_path / "study"), Console(file=io.StringIO()))
    uniform = [row for row in result.rows if "uniform" in row.kind]
    assert uniform and all(row.flops >= 0 and row.examples == len(Split(data).users("test")) for row in uniform)


def test_parts_test_each_user_and_depend_on_the_seed(data):
    config = load_preset("wide", SMALL)
    one, same, other = (parts(data, config, seed) for seed in (1, 1, 2))
    arch = space_for(config.model).smallest()
    network = one.build(arch)
    values = one.test(network)["unseen/ndcg@10"]
    assert values.shape == (len(Split(data).users("test")),) and set(np.unique(values)) <= {
        0.0,
        *(1 / np.log2(rank + 1) for rank in range(1, 11)),
    }
    weights = [made.problem.model.items.weight for made in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert one.problem.evaluate(network).keys() >= {"unseen/ndcg@10"}


def test_scaled_networks_reach_the_flops_of_the_largest(data):
    config = load_preset("wide", SMALL)
    made = parts(data, config, seed=0)
    flops = [count_flops(made.build(made.scaled(factor)), made.example) for factor in (0.1, 0.5, 1.0)]
    assert flops == sorted(flops)
    assert flops[-1] >= made.problem.costs["flops"](space_for(config.model).largest())
    sizes = scaled_sizes(config.model, 0.5)
    assert (sizes.hidden, sizes.depth, sizes.inner, sizes.gates) == (16, 2, (32, 32), (0, 0))
    assert (sizes.attention, sizes.heads) == (("softmax", "softmax"), (4, 4))


def test_parts_need_the_wide_space(data):
    with pytest.raises(ConfigError, match=r"need model\.space=wide"):
        parts(data, load_preset("demo"), seed=0)


def test_parts_need_the_times_that_networks_use(data):
    without = replace(data, times=None)
    with pytest.raises(ConfigError, match="needs the times of interactions and the data has none"):
        parts(without, load_preset("wide", SMALL | TIMED), seed=0)
