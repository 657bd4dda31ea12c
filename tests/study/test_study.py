"""Study: a whole one in seconds, what it writes, resume, errors."""

import copy
import json
import math
from types import SimpleNamespace
from typing import Literal

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space, load
from elasticnas.cost import Flops, count_flops
from elasticnas.errors import CheckpointError, ConfigError, SearchError
from elasticnas.study import Study, StudySettings, Task
from elasticnas.study.page import page, verdicts
from elasticnas.study.uniform import uniform_sizes

SETTINGS = StudySettings(steps=12, tune_steps=4, trials=5, population=3, checkpoint_every=3, shares=(0.3, 0.7))


class Sizes(Space):
    hidden: Literal[16, 12, 8, 4]
    depth: Literal[3, 2, 1]


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.inp = enn.Linear(4, sizes.hidden)
        self.blocks = enn.Stack([enn.FeedForward(sizes.hidden, 8, dropout=0.2) for _ in range(3)], sizes.depth)
        self.out = enn.Linear(sizes.hidden, 3)

    def forward(self, x):
        return self.out(self.blocks(torch.relu(self.inp(x))))


def scaled(factor):
    return SimpleNamespace(hidden=max(1, round(16 * factor)), depth=3)


def batches(epoch):
    x = torch.randn(5, 32, 4, generator=torch.Generator().manual_seed(epoch))
    return list(zip(x, (x.prod(-1) > 0).long() + (x[..., 0] > 1).long(), strict=True))


def loss(network, batch):
    return nn.functional.cross_entropy(network(batch[0]), batch[1])


def nats(split):
    return lambda network: {"nats": sum(float(loss(network, batch)) for batch in batches(split)) / 5}


def task(**changes):
    given = {
        "name": "signs",
        "build": Net,
        "scaled": scaled,
        "loss": loss,
        "train": batches,
        "validate": nats(1001),
        "test": nats(1002),
        "metric": "nats",
        "maximise": False,
        "example": torch.zeros(1, 4),
        "predict": lambda network, batch: network(batch[0]),
        "facts": {"rows": 160},
    }
    return Task(**given | changes)


def study(folder, problem=None, settings=SETTINGS, resume=False):
    torch.manual_seed(0)
    return Study(problem or task(), Net(Sizes.axes()), settings, folder, resume=resume)


def figures(result):
    """Without clocks."""
    result = copy.deepcopy(result)
    del result["created"], result["supernet"]["seconds"], result["search"]["seconds"]
    for row in result["rows"]:
        del row["seconds"]
    return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, study(folder).run()


def test_rows_keep_to_their_shares_and_the_baseline_is_never_narrower(finished):
    result = finished[1]
    kinds = [(row["share"], row["kind"]) for row in result["rows"]]
    each = ["searched", "scratch", "uniform"]
    assert kinds == [(s, k) for s in (0.3, 0.7) for k in each] + [(1.0, "searched"), (1.0, "uniform")]
    whole = Flops(Net(Sizes.axes()), torch.zeros(1, 4))(Sizes.largest())
    assert result["largest_flops"] == whole
    for row in result["rows"]:
        at = {other["kind"]: other for other in result["rows"] if other["share"] == row["share"]}
        # equal work: 12 passes of the supernet for three networks, and 4 steps each
        assert row["steps"] == (4 if row["kind"] == "searched" else 8)
        assert (row["inherited"] is None) == (row["kind"] != "searched")
        if row["kind"] == "uniform":
            assert row["flops"] >= at["searched"]["flops"]
        else:
            assert row["flops"] <= row["share"] * whole
            assert row["flops"] == Flops(Net(Sizes.axes()), torch.zeros(1, 4))(Sizes(**row["sizes"]))
            assert row["sizes"] == at["searched"]["sizes"]
    assert result["rows"][-1]["sizes"] == {"hidden": 16, "depth": 3}
    for below, share in ((0.0, 0.3), (0.3, 0.7)):
        within = [c for c in result["search"]["tried"] if below * whole < c["cost"] <= share * whole]
        chosen = next(row for row in result["rows"] if row["share"] == share)
        assert chosen["inherited"] == min(c["metrics"]["nats"] for c in within)


def test_saved_networks_give_the_figures_of_the_table(finished):
    folder, result = finished
    for row in result["rows"]:
        if row["kind"] == "searched":
            network = load(folder / "networks" / f"{100 * row['share']:g}", Net).eval()
            with torch.no_grad():
                assert nats(1002)(network)["nats"] == pytest.approx(row["test"], abs=1e-9)
            assert sum(p.numel() for p in network.parameters()) == row["params"]
            assert count_flops(network, torch.zeros(1, 4)) == row["flops"]


def test_pages_are_made_from_the_result_alone(finished):
    folder, result = finished
    there = json.loads((folder / "result.json").read_text())
    assert there == json.loads(json.dumps(result))
    text = (folder / "result.md").read_text()
    assert text == page(there)
    for row in result["rows"]:
        assert f"| {row['test']:.4f} |" in text
    assert "lower is better" in text and "* rows: 160" in text and "`steps`: 12 (default 1000)" in text
    assert (folder / "pareto.png").read_bytes().startswith(b"\x89PNG")
    ours, alone, theirs = (row["test"] for row in result["rows"][:3])
    said = {-1: "better than", 0: "equal to", 1: "worse than"}
    words = [said[(value > theirs) - (value < theirs)] for value in (ours, alone)]
    line = f"30%: searched, inheriting {ours:.4f}, {words[0]}, and from scratch {alone:.4f}, {words[1]}"
    assert verdicts(result)[0].startswith(f"{line} uniformly scaled {theirs:.4f}")
    assert "| 100% | largest, inherits weights |" in text and "| 100% | largest, from scratch |" in text


class Stop(Exception):
    pass


def stopping(after):
    """Losses until one raises, as a killed process would end: anywhere."""
    count = 0

    def limited(network, batch):
        nonlocal count
        count += 1
        if count > after:
            raise Stop
        return loss(network, batch)

    return limited


@pytest.mark.parametrize("after", [1, 11, 13, 18, 40, 63])
def test_stopping_anywhere_changes_no_figure(finished, tmp_path, after):
    with pytest.raises(Stop):
        study(tmp_path, task(loss=stopping(after))).run()
    assert not (tmp_path / "result.json").exists()
    assert figures(study(tmp_path, resume=True).run()) == figures(finished[1])
    assert not list((tmp_path / "rows").glob("*.ckpt"))


def test_a_finished_study_is_read_not_repeated(finished):
    folder, result = finished
    again = study(folder, task(loss=stopping(0)), resume=True).run()
    assert figures(again) == figures(result)


def test_other_studies_are_refused(finished):
    folder, _ = finished
    with pytest.raises(CheckpointError, match="holds a study already; --resume continues it"):
        study(folder)
    with pytest.raises(CheckpointError, match=r"holds another study, settings.tune_steps was 4, is 5"):
        study(folder, settings=SETTINGS.model_copy(update={"tune_steps": 5}), resume=True)
    with pytest.raises(CheckpointError, match=r"facts.rows was 160, is 161"):
        study(folder, task(facts={"rows": 161}), resume=True)


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"study.json: damaged .*; delete it"):
        study(tmp_path, resume=True)
    (tmp_path / "study.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"study.json: damaged \(no object\)"):
        study(tmp_path, resume=True)


def test_a_share_that_nothing_meets_is_left_out(tmp_path):
    settings = SETTINGS.model_copy(update={"shares": (0.01, 0.5)})
    rows = study(tmp_path, settings=settings).run()["rows"]
    assert {row["share"] for row in rows} == {0.5, 1.0}


def test_a_network_may_be_built_of_keywords(tmp_path):
    def build(depth, hidden):
        return Net(SimpleNamespace(hidden=hidden, depth=depth))

    folder = tmp_path / "keywords"
    assert figures(study(folder, task(build=build)).run())["rows"] == figures(study(tmp_path / "whole").run())["rows"]
    with pytest.raises(ConfigError, match="takes neither sizes of Sizes nor its architecture"):
        study(tmp_path / "wrong", task(build=lambda width, depth: None))


def test_a_loss_that_is_not_finite_names_the_step(tmp_path):
    count = 0

    def broken(network, batch):
        nonlocal count
        count += 1
        return loss(network, batch) * (math.nan if count > 20 else 1.0)

    with pytest.raises(SearchError, match=r"the loss is nan at step \d+: lower the learning rate"):
        study(tmp_path, task(loss=broken)).run()
    assert (tmp_path / "search.json").exists()


def test_uniform_sizes_are_the_narrowest_with_enough_flops():
    problem = task()
    for hidden in range(1, 17):
        exact = count_flops(Net(SimpleNamespace(hidden=hidden, depth=3)), torch.zeros(1, 4))
        assert uniform_sizes(problem, Net, exact).hidden == hidden
        assert uniform_sizes(problem, Net, exact - 1).hidden == hidden


def test_equal_work_counts_every_architecture_of_a_step():
    shares = (0.25, 0.5)
    assert StudySettings(steps=90, tune_steps=7, shares=shares).steps_from_scratch == 37
    assert StudySettings(steps=90, tune_steps=7, shares=shares, rule="sandwich").steps_from_scratch == 127
    assert StudySettings(steps=91, tune_steps=7, shares=shares, rule="random").steps_from_scratch == 68
    assert StudySettings(scratch_steps=5).steps_from_scratch == 5


def test_settings_are_checked():
    for shares in ((), (0.5, 0.25), (0.5, 1.0), (0.0,), (0.5, 0.5)):
        with pytest.raises(ValueError, match="shares ascend between 0 and 1"):
            StudySettings(shares=shares)
