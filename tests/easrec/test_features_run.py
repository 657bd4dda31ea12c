"""Runs with features of items through the command line, and what is refused there."""

import io
import json
import shutil
import warnings

import pytest
import torch
import yaml
from rich.console import Console

from easrec.artifact import Recommender
from easrec.data import Interactions
from easrec.data.synthetic import planted
from easrec.pipeline import Pipeline, Searched
from easrec.presets import load_preset
from easrec.source import Source
from elasticnas.run import Run

SETTINGS = ["model.hidden=16", "model.inner=16", "model.length=10", "model.layers=1", "model.heads=2"]
SETTINGS += ["model.hidden_pruning=[0,0.5]", "model.inner_pruning=[0,0.5]"]
SETTINGS += ["model.backbone=fdsa", "model.attention_choices=[softmax,hstu]", "model.gate_layers=0"]
SETTINGS += ["search.epochs=2", "search.update_every=1", "search.random_architectures=1", "train.epochs=2"]
SETTINGS += ["negatives=5", "compare=[]", "search.budget=none"]
CHANGES = [part for change in SETTINGS for part in ("--set", change)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Interactions, and items with their category; one item is missing, one has an empty cell."""
    folder = tmp_path_factory.mktemp("data")
    planted(users=60, items=24, categories=4, length=12).write(folder / "log.tsv")
    rows = [f"item-{i:04d}\t{'' if i == 5 else f'c{i % 4}|all'}\t{1990 + i % 3}" for i in range(24) if i != 9]
    (folder / "items.tsv").write_text("\n".join(["item_id\tkinds\tyear", *rows]))
    return folder


def command(files, out, *more):
    given = ["--data", files / "log.tsv", "--items", files / "items.tsv", "--features", "kinds"]
    return ["run", *given, "--out", out, "--threads", 1, *CHANGES, *more]


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    from typer.testing import CliRunner

    from easrec.cli import commands

    out = tmp_path_factory.mktemp("run") / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a search as short as this
        done = CliRunner().invoke(commands, [*map(str, command(files, out))])
    assert done.exit_code == 0, done.output
    return out, done.output


def test_a_run_reports_its_features_and_the_attention_it_found(finished):
    out, printed = finished
    said = "features: 5 of kinds; without any: 1 items with empty cells, 1 that the items file does not have"
    assert said in " ".join(printed.split()) and "attention  " in printed
    result = json.loads((out / "result.json").read_text())
    expected = {"columns": ["kinds"], "features": 5, "items_missing": 1, "items_without": 1}
    assert result["data"]["features"] == expected
    assert result["networks"]["found"]["architecture"]["attention"] in ("softmax", "hstu")
    assert set(result["search"]["result"]["probabilities"]) == {"candidate", "depth", "attention"}
    page = (out / "result.md").read_text()
    assert "* features: 5 of kinds; 2 items have none" in page and "`model.backbone`: fdsa (default sasrec)" in page


def test_the_saved_model_scores_alone(main, finished, tmp_path):
    out, _ = finished
    shutil.copytree(out / "model", tmp_path / "model")
    code, said, warned = main("easrec", "recommend", "--out", tmp_path, "--history", "item-0001,item-0009", "--json")
    assert code == 0 and len(json.loads(said)["items"]) == 10, warned
    saved, data = Recommender.load(tmp_path / "model"), Interactions.load(out / "data.npz")
    table = saved.network.features.of_item
    assert torch.equal(table, torch.from_numpy(data.features.padded())) and table[1:].any(1).sum() == 22
    # what it recommends follows the features: with those of other items it scores otherwise
    ids, lengths = torch.tensor([[1, 2, 3]]), torch.tensor([3])
    before = saved.network.next_item(ids, lengths)
    saved.network.features.of_item = table.roll(1, 0)
    assert (saved.network.next_item(ids, lengths) - before)[:, 1:].abs().max() > 1e-4


def test_evaluating_the_saved_model_gives_the_runs_figures(main, finished):
    out, _ = finished
    code, said, warned = main("easrec", "evaluate", "--out", out, "--threads", 1, "--json")
    result = json.loads((out / "result.json").read_text())
    assert code == 0, warned
    for key, value in json.loads(said).items():
        stage, *of, name = key.split("/")
        if not of:
            continue  # a count
        *of, protocol = of
        found = result["baselines"][of[0]] if of else result["networks"]["found"]["metrics"]
        assert found[stage][protocol][name] == pytest.approx(value, abs=1e-12)


def test_the_exported_file_scores_the_same(main, finished, tmp_path):
    out, _ = finished
    code, _, warned = main("easrec", "export", "--out", out, "--format", "torch", "--to", tmp_path / "model.pt2")
    assert code == 0, warned
    scorer, network = torch.export.load(tmp_path / "model.pt2").module(), Recommender.load(out / "model").network
    ids = torch.tensor([[1, 5, 9, 2], [7, 0, 0, 0]])
    torch.testing.assert_close(scorer(ids), network.next_item(ids, torch.tensor([4, 1])))


def test_resuming_and_stages_give_the_same_figures(main, files, finished, tmp_path):
    out, _ = finished
    expected = json.loads((out / "result.json").read_text())
    shutil.copytree(out, tmp_path / "again")
    code, _, warned = main("easrec", *command(files, tmp_path / "again", "--resume"))
    assert code == 0, warned
    prepared, staged = tmp_path / "data.npz", tmp_path / "staged"
    options = ["--items", files / "items.tsv", "--features", "kinds"]
    assert main("easrec", "prepare", "--data", files / "log.tsv", "--out", prepared, *options)[0] == 0
    assert main("easrec", "search", "--data", prepared, "--out", staged, "--threads", 1, *CHANGES)[0] == 0
    assert main("easrec", "retrain", "--out", staged, "--threads", 1)[0] == 0
    for folder in (tmp_path / "again", staged):
        found = json.loads((folder / "result.json").read_text())
        for name, network in expected["networks"].items():
            for part in ("architecture", "flops", "metrics"):
                assert found["networks"][name][part] == network[part]
    code, _, warned = main("easrec", *command(files, tmp_path / "again", "--resume", "--features", "year"))
    assert code == 1 and "holds a run of other data or settings (data was" in warned


def test_equal_sizes_with_another_attention_are_another_network(files, tmp_path):
    changes = dict(setting.split("=", 1) for setting in SETTINGS)
    config = load_preset("default", {name: yaml.safe_load(value) for name, value in changes.items()})
    source = Source(files / "log.tsv", items=files / "items.tsv", features=("kinds",))
    run = Pipeline(source.read(0, 0), config, Run(tmp_path), torch.device("cpu"), Console(file=io.StringIO()))
    found, other = (run.space(candidate=0, depth=1, attention=kind) for kind in ("softmax", "hstu"))
    searched = Searched(found, other, None, run.new_supernet())
    networks = [run.retrain(searched, which)[1].network for which in ("found", "random")]
    assert [len([n for n, _ in network.named_parameters() if "distances" in n]) for network in networks] == [0, 2]
    assert {path.name for path in tmp_path.glob("train-*")} == {"train-8-8-1-softmax", "train-8-8-1-hstu"}


def test_damaged_features_of_a_saved_model_are_noticed(main, finished, tmp_path):
    shutil.copytree(finished[0] / "model", tmp_path / "model")
    path = tmp_path / "model" / "recommender.json"
    text = path.read_text()
    assert "kinds=all" in text
    for spoiled in (text.replace("kinds=all", "kinds=ale"), text.replace('"features"', '"nothing"')):
        path.write_text(spoiled)
        code, _, printed = main("easrec", "recommend", "--out", tmp_path, "--history", "item-0001")
        assert code == 1 and "recommender.json: damaged" in printed and printed.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "model.backbone=fdsa embeds features of items and the data has none: give --items FILE and --features"),
        (["--features", "kinds"], "--features kinds: a column of which file? give it by --items"),
        (["--items", "{items}"], "items.tsv: which columns hold features? name them by --features"),
        (
            ["--items", "{items}", "--features", "genre"],
            "no column 'genre'; the columns are item_id, kinds, year; name",
        ),
        (["--items", "{log}", "--features", "user_id"], ": item 'item-"),
        (["--items", "{none}", "--features", "kinds"], "none.tsv: no such file; give the items by --items"),
        (["--items", "{items}", "--features", "kinds", "--feature-separator", ""], "--feature-separator is empty"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(main, files, tmp_path, options, message):
    named = {name: str(files / f"{name}.tsv") for name in ("items", "log", "none")}
    given = [option.format(**named) for option in options]
    out = tmp_path / "o"
    code, _, printed = main("easrec", "run", "--data", files / "log.tsv", "--out", out, *CHANGES, *given)
    assert code == 1 and message in printed and printed.count("\n") == 1 and len(printed) < 500, printed
    assert not out.exists()


def test_prepared_data_takes_no_items_file(main, files, tmp_path):
    prepared = tmp_path / "data.npz"
    assert main("easrec", "prepare", "--data", files / "log.tsv", "--out", prepared)[0] == 0
    options = ["--items", files / "items.tsv", "--features", "kinds"]
    code, _, printed = main("easrec", "search", "--data", prepared, "--out", tmp_path / "o", *CHANGES, *options)
    assert code == 1 and "prepared data holds its features already, or none; give --items and --features to" in printed
    assert not (tmp_path / "o").exists()


def test_features_that_no_backbone_takes_are_said_to_be_unused(main, files, tmp_path):
    small = ["model.hidden=16", "model.inner=8", "model.layers=1", "model.length=6", "search.epochs=1"]
    changes = [part for change in small for part in ("--set", change)]
    options = ["--items", files / "items.tsv", "--features", "kinds", "--features", "year", "--budget", "none"]
    code, said, warned = main(
        "easrec", "search", "--data", files / "log.tsv", "--out", tmp_path / "o", *changes, *options
    )
    assert code == 0 and "8 of kinds, year" in said and "features are not used: model.backbone is sasrec" in said, (
        warned
    )


def test_where_several_backbones_are_trained_nothing_is_said_of_one(main, files, tmp_path):
    options = ["--items", files / "items.tsv", "--features", "kinds", "--out", tmp_path / "o", "--table", "9"]
    code, said, warned = main("easrec", "reproduce", "--data", files / "log.tsv", *options)
    assert code == 1 and "--table 9" in warned and "5 of kinds" in said and "features are not used" not in said


def test_ratings_and_movies_of_movielens_need_no_names(main, files, tmp_path):
    lines = (files / "log.tsv").read_text().splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    ratings, movies = tmp_path / "ratings.dat", tmp_path / "movies.dat"
    ratings.write_text("\n".join(f"{user}::{item}::5::{time}" for user, item, time in rows))
    movies.write_text("\n".join(f"{item}::Title (1995)::c|all" for item in sorted({row[1] for row in rows})))
    given = ["--data", ratings, "--items", movies, "--features", "Genres", "--out", tmp_path / "data.npz"]
    code, said, warned = main("easrec", "prepare", *given)
    assert code == 0 and "features: 2 of Genres; without any: 0 items" in said, warned
