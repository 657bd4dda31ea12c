"""Study: a whole one in seconds, what it writes, resume, errors."""

import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import load
from elasticnas.cost import Flops, count_flops
from elasticnas.errors import CheckpointError, ConfigError, ElasticNASError, SearchError
from elasticnas.run import Run
from elasticnas.search import Problem, SearchResult
from elasticnas.study import Study, StudyResult, StudySettings
from elasticnas.study.examples import split_values
from elasticnas.study.page import page
from elasticnas.study.uniform import uniform_sizes
from elasticnas.study.verdicts import verdicts
from tests.study.signs import Sizes, batches, loss, scaled

SETTINGS = StudySettings(steps=12, tune_steps=4, trials=5, population=3, checkpoint_every=3, shares=(0.3, 0.7))


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.inp = enn.Linear(4, sizes.hidden)
        self.blocks = enn.Stack([enn.FeedForward(sizes.hidden, 8, dropout=0.2) for _ in range(3)], sizes.depth)
        self.out = enn.Linear(sizes.hidden, 3)

    def forward(self, x):
        return self.out(self.blocks(torch.relu(self.inp(x))))


def nats(split):
    return lambda network: {"nats": sum(float(loss(network, batch)) for batch in batches(split)) / 5}


TEST = nats(1002)


def study(loss=loss, build=Net, settings=SETTINGS, test=TEST):
    torch.manual_seed(0)
    problem = Problem(
        Net(Sizes.axes()),
        loss=loss,
        train=batches,
        evaluate=nats(1001),
        metric="nats",
        direction="minimise",
        predict=lambda network, batch: network(batch[0]),
    )
    return Study(problem, build, scaled, test, torch.zeros(1, 4), settings, name="signs")


def at(folder, resume=False, rows=160):
    return Run(folder, resume=resume, identity={"rows": rows})


def figures(result):
    """Without clocks."""
    data = result.to_dict()
    del data["created"], data["supernet"]["seconds"], data["search"]["seconds"]
    for row in data["rows"]:
        del row["seconds"]
    return data


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, study().run(at(folder))


def test_rows_keep_to_their_shares_and_the_baseline_is_never_narrower(finished):
    result = finished[1]
    kinds = [(row.share, row.kind) for row in result.rows]
    each = ["searched", "scratch", "uniform"]
    assert kinds == [(s, k) for s in (0.3, 0.7) for k in each] + [(1.0, "searched"), (1.0, "uniform")]
    whole = Flops(Net(Sizes.axes()), torch.zeros(1, 4))(Sizes.largest())
    assert result.largest_flops == whole
    for row in result.rows:
        beside = {other.kind: other for other in result.rows if other.share == row.share}
        # equal work: 12 passes of the supernet for three networks, and 4 steps each
        assert row.steps == (4 if row.kind == "searched" else 8)
        assert (row.inherited is None) == (row.kind != "searched")
        if row.kind == "uniform":
            assert row.flops >= beside["searched"].flops
        else:
            assert row.flops <= row.share * whole
            assert row.flops == Flops(Net(Sizes.axes()), torch.zeros(1, 4))(Sizes(**row.sizes))
            assert row.sizes == beside["searched"].sizes
    assert result.rows[-1].sizes == {"hidden": 16, "depth": 3}
    for below, share in ((0.0, 0.3), (0.3, 0.7)):
        within = [c for c in result.search.tried if below * whole < c.costs["flops"] <= share * whole]
        chosen = next(row for row in result.rows if row.share == share)
        assert chosen.inherited == min(c.metrics["nats"] for c in within)


def test_saved_networks_give_the_figures_of_the_table(finished):
    folder, result = finished
    for row in result.rows:
        if row.kind == "searched":
            network = load(folder / "networks" / f"{100 * row.share:g}", Net).eval()
            with torch.no_grad():
                assert nats(1002)(network)["nats"] == pytest.approx(row.test, abs=1e-9)
            assert sum(p.numel() for p in network.parameters()) == row.params
            assert count_flops(network, torch.zeros(1, 4)) == row.flops


def test_pages_are_made_from_the_result_alone(finished):
    folder, result = finished
    there = StudyResult.from_dict(json.loads((folder / "result.json").read_text()), Sizes)
    assert there == result
    text = (folder / "result.md").read_text()
    assert text == page(there)
    for row in result.rows:
        assert f"| {row.test:.4f} |  |" in text
    assert "lower is better" in text and "* rows: 160" in text and "`steps`: 12 (default 1000)" in text
    assert (folder / "pareto.png").read_bytes().startswith(b"\x89PNG")
    ours, alone, theirs = (row.test for row in result.rows[:3])
    lines = verdicts(result)
    assert lines[0].startswith(f"30%: searched, inheriting weights, {ours:.4f} against {theirs:.4f} uniformly scaled")
    assert lines[1].startswith(f"30%: searched, from scratch, {alone:.4f} against {theirs:.4f} uniformly scaled")
    assert all(line.endswith("not judged: one value each") and line in text for line in lines)
    assert "searched networks against uniformly scaled ones" in (folder / "report.html").read_text()
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
        study(stopping(after)).run(at(tmp_path))
    assert not (tmp_path / "result.json").exists()
    assert figures(study().run(at(tmp_path, resume=True))) == figures(finished[1])
    assert not list((tmp_path / "rows").glob("*/checkpoint"))


def test_a_finished_study_is_read_not_repeated(finished):
    folder, result = finished
    again = study(stopping(0)).run(at(folder, resume=True))
    assert figures(again) == figures(result)


def test_other_studies_are_refused(finished):
    folder, _ = finished
    with pytest.raises(CheckpointError, match="holds a study already; resume=True continues it"):
        study().run(at(folder))
    with pytest.raises(CheckpointError, match=r"holds another study, settings.tune_steps was 4, is 5"):
        study(settings=SETTINGS.model_copy(update={"tune_steps": 5})).run(at(folder, resume=True))
    with pytest.raises(CheckpointError, match=r"facts.rows was 160, is 161"):
        study().run(at(folder, resume=True, rows=161))


def test_a_study_says_what_it_lacks(tmp_path):
    whole = study().problem
    for part, message in (("loss", r"loss\(model, batch\)"), ("train", "batches to train on"), ("evaluate", "metric=")):
        without = {part: None} | ({"metric": None, "direction": None} if part == "evaluate" else {})
        with pytest.raises(ConfigError, match=rf"^Study needs Problem\({part}=\.\.\.\): .*{message}"):
            Study(replace(whole, **without), Net, scaled, nats(1002), torch.zeros(1, 4))
    with pytest.raises(ConfigError, match=r"a study needs a folder: Run\(folder\)"):
        study().run(Run())
    with pytest.raises(ConfigError, match="a Run without allow: its parts build on each other"):
        study().run(Run(tmp_path, allow={"steps"}))
    with at(tmp_path), pytest.raises(CheckpointError, match="is in use by another run"):
        study().run(at(tmp_path, resume=True))
    assert not (tmp_path / "study.json").exists()


def test_every_part_reports_to_the_run_that_was_given(tmp_path):
    told = []
    settings = SETTINGS.model_copy(update={"shares": (0.5,)})
    result = study(settings=settings).run(Run(tmp_path, progress=told.append))
    steps = [progress.step for progress in told]
    # the supernet, NSGA-II, each row; the random search beside it reports nothing
    lengths = [12, *[row.steps for row in result.rows]]
    rows = [step for length in lengths[1:] for step in range(1, length + 1)]
    assert steps[:12] == list(range(1, 13)) and steps[-len(rows) :] == rows
    searched = told[12 : -len(rows)]
    assert {progress.stage for progress in searched} == {"evaluate"} and len(searched) == settings.trials


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"study.json: damaged .*; delete it"):
        study().run(at(tmp_path, resume=True))
    (tmp_path / "study.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"study.json: damaged \(no object\)"):
        study().run(at(tmp_path, resume=True))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("search.json", "format 1, and this version reads 2"),
        ("search.json", r"search.json: .*; delete it to search again"),
        ("rows/30-scratch.json", r"30-scratch.json: damaged \(Row: kind: Field required"),
    ],
)
def test_damaged_parts_are_named(finished, tmp_path, name, message):
    shutil.copytree(finished[0], tmp_path / "study")
    (tmp_path / "study" / name).write_text("{}")
    with pytest.raises(ElasticNASError, match=message) as raised:
        study().run(at(tmp_path / "study", resume=True))
    assert "\n" not in str(raised.value)


def test_a_share_that_nothing_meets_is_left_out(tmp_path):
    settings = SETTINGS.model_copy(update={"shares": (0.01, 0.5)})
    rows = study(settings=settings).run(at(tmp_path)).rows
    assert {row.share for row in rows} == {0.5, 1.0}


def test_a_network_may_be_built_of_keywords(tmp_path):
    def build(depth, hidden):
        return Net(SimpleNamespace(hidden=hidden, depth=depth))

    keywords, whole = (study(build=each).run(at(tmp_path / each.__name__)) for each in (build, Net))
    assert figures(keywords)["rows"] == figures(whole)["rows"]
    with pytest.raises(ConfigError, match="takes neither sizes of Sizes nor its architecture"):
        study(build=lambda width, depth: None)


def test_a_loss_that_is_not_finite_names_the_step(tmp_path):
    count = 0

    def broken(network, batch):
        nonlocal count
        count += 1
        return loss(network, batch) * (math.nan if count > 20 else 1.0)

    with pytest.raises(SearchError, match=r"the training loss is nan at step \d+: lower the learning rate"):
        study(broken).run(at(tmp_path))
    assert (tmp_path / "search.json").exists()


def test_uniform_sizes_are_the_narrowest_with_enough_flops():
    example = torch.zeros(1, 4)
    for hidden in range(1, 17):
        exact = count_flops(Net(SimpleNamespace(hidden=hidden, depth=3)), example)
        assert uniform_sizes(scaled, Net, example, exact).hidden == hidden
        assert uniform_sizes(scaled, Net, example, exact - 1).hidden == hidden


def test_equal_work_counts_every_architecture_of_a_step():
    shares = (0.25, 0.5)
    assert StudySettings(steps=90, tune_steps=7, shares=shares).steps_from_scratch == 37
    assert StudySettings(steps=90, tune_steps=7, shares=shares, rule="sandwich").steps_from_scratch == 127
    assert StudySettings(steps=91, tune_steps=7, shares=shares, rule="random").steps_from_scratch == 68
    assert StudySettings(scratch_steps=5).steps_from_scratch == 5


def test_settings_are_checked():
    for shares in ((), (0.5, 0.25), (0.5, 1.0), (0.0,), (0.5, 0.5)):
        with pytest.raises(ConfigError, match="shares must ascend strictly between 0 and 1"):
            StudySettings(shares=shares)


def test_a_test_without_the_metric_is_told_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^metric 'nats' is not among what evaluate returns: \['bits'\]$"):
        study(test=lambda network: {"bits": 1.0}).run(at(tmp_path))


def each_example(network):
    """Nats of each test example, of which TEST gives the mean."""
    parts = [nn.functional.cross_entropy(network(x), y, reduction="none") for x, y in batches(1002)]
    return {"nats": torch.cat(parts)}


def test_values_of_examples_give_intervals_by_which_networks_are_judged(finished, tmp_path):
    from scipy import stats

    result = study(test=each_example).run(at(tmp_path))
    assert [row.test for row in result.rows] == pytest.approx([row.test for row in finished[1].rows], abs=1e-6)
    assert all(row.examples == 160 for row in result.rows)
    assert {(each.share, each.kind) for each in result.comparisons} == {
        (share, kind) for share in (0.3, 0.7) for kind in ("searched", "scratch")
    }
    values = {row.kind: np.fromfile(tmp_path / "rows" / f"30-{row.kind}.values") for row in result.rows[:3]}
    network = load(tmp_path / "networks" / "30", Net).eval()
    with torch.no_grad():
        assert each_example(network)["nats"].numpy() == pytest.approx(values["searched"], abs=1e-5)
    expected = stats.ttest_rel(values["searched"], values["uniform"]).confidence_interval(0.95)
    assert result.comparisons[0].interval == pytest.approx((expected.low, expected.high))
    own = stats.ttest_1samp(values["searched"], 0.0).confidence_interval(0.95)
    assert result.rows[0].interval == pytest.approx((own.low, own.high))
    assert figures(study(stopping(0), test=each_example).run(at(tmp_path, resume=True))) == figures(result)
    (tmp_path / "rows" / "30-scratch.values").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"30-scratch.values: missing or damaged; delete 30-scratch.json to make"):
        study(test=each_example).run(at(tmp_path, resume=True))


@pytest.mark.parametrize(
    ("given", "mean", "values"),
    [
        ({"nats": torch.tensor([True, False])}, 0.5, [1.0, 0.0]),
        ({"nats": [1.0, 3.0]}, 2.0, [1.0, 3.0]),
        ({"nats": np.array([2.0])}, 2.0, [2.0]),
        ({"nats": torch.tensor(0.5)}, 0.5, None),
        ({"nats": 0.5, "other": 1}, 0.5, None),
    ],
)
def test_a_metric_is_a_number_or_one_value_per_example(given, mean, values):
    found, split = split_values(given, "nats")
    assert float(found["nats"]) == mean and (split is None) == (values is None)
    assert split is None or split.tolist() == values


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(2, 3), r"nats of shape \(2, 3\); one value per example is needed: \(examples,\)"),
        ([], r"nats of shape \(0,\); one value per example"),
        (["a"], r"test returns nats=\['a'\]: numbers are needed, one per example"),
    ],
)
def test_other_values_are_told_in_one_line(given, message):
    with pytest.raises(ConfigError, match=message) as raised:
        split_values({"nats": given}, "nats")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("other", "named"), [("30-uniform", "uniform at 0.3"), ("70-scratch", "scratch at 0.7")])
def test_a_row_of_another_network_is_refused(finished, tmp_path, other, named):
    shutil.copytree(finished[0], tmp_path / "study")
    rows = tmp_path / "study" / "rows"
    for ending in (".json", ".values"):
        if (rows / f"{other}{ending}").exists():
            shutil.copy(rows / f"{other}{ending}", rows / f"30-scratch{ending}")
    with pytest.raises(CheckpointError, match=rf"30-scratch.json: is the row of {named}; delete it"):
        study().run(at(tmp_path / "study", resume=True))


@pytest.mark.parametrize("name", ["study.json", "search.json", "rows/30-scratch.json"])
def test_a_changed_figure_is_noticed_by_its_checksum(finished, tmp_path, name):
    shutil.copytree(finished[0], tmp_path / "study")
    path = tmp_path / "study" / name
    content = json.loads(path.read_text())
    changed = {"study.json": "flops", "search.json": "seconds", "rows/30-scratch.json": "test"}[name]
    path.write_text(json.dumps(content | {changed: content[changed] + 1e-9}))
    with pytest.raises(CheckpointError, match=rf"{path.name}: damaged \(its checksum is wrong\); delete it"):
        study().run(at(tmp_path / "study", resume=True))


def test_files_without_checksums_and_the_search_by_itself_are_read(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "study")
    for path in [tmp_path / "study" / "search.json", *(tmp_path / "study" / "rows").glob("*.json")]:
        content = json.loads(path.read_text())
        if path.name == "search.json":
            assert SearchResult.from_dict(content, Sizes).best == finished[1].search.best
        del content["checksum"]
        path.write_text(json.dumps(content))
    assert figures(study().run(at(tmp_path / "study", resume=True))) == figures(finished[1])
