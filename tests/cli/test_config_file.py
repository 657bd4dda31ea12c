"""``--config``: a file of settings, between the preset and the other options."""

import os

import pytest
import yaml

from easrec.config import Config
from easrec.presets import load_preset, preset_names
from easrec.running import configured
from elasticnas.settings import read_changes, read_config
from elasticnas_recipes.charlm.config import Config as CharlmConfig
from elasticnas_recipes.digits.config import Config as DigitsConfig


@pytest.mark.parametrize("preset", preset_names())
def test_a_shown_preset_is_read_back_as_it_was(main, tmp_path, preset):
    code, shown, _ = main("easrec", "config", "show", preset)
    (tmp_path / "run.yaml").write_text(shown)
    assert code == 0 and yaml.safe_load(shown)["model"]["hidden"] == load_preset(preset).model.hidden
    other = load_preset("authors" if preset == "default" else "default")  # every setting is in the file
    found = read_config(other, tmp_path / "run.yaml")
    # a metric that the preset leaves open stays open
    assert found == load_preset(preset) and ("early_stopping_metric" in found.model_fields_set) == (
        preset in ("authors", "demo", "paper")
    )


@pytest.mark.parametrize(("recipe", "settings"), [("digits", DigitsConfig()), ("charlm", CharlmConfig())])
def test_shown_settings_of_the_small_recipes_are_read_back(main, tmp_path, recipe, settings):
    code, shown, _ = main(recipe, "config", "show")
    (tmp_path / "run.yaml").write_text(shown.replace("trials: ", "trials: 1"))
    changed = settings.model_copy(
        update={"study": settings.study.model_copy(update={"trials": int(f"1{settings.study.trials}")})}
    )
    assert code == 0 and read_config(settings, tmp_path / "run.yaml") == changed


def test_options_override_the_file_and_the_file_the_preset(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("seed: 3\nmodel.layers: 2\nsearch:\n  budget: 40%\n  epochs: 4\n  options: {depth: 1}\n")
    found = configured("demo", file)
    assert (found.seed, found.model.layers, found.search.budget, found.search.epochs) == (3, 2, "40%", 4)
    assert found.search.options == {"depth": 1} and found.model.hidden == load_preset("demo").model.hidden == 32
    over = configured("demo", file, "2M", 7, {"model.layers": 1, "search.options": {"width": 2}})
    assert (over.seed, over.model.layers, over.search.budget, over.search.epochs) == (7, 1, "2M", 4)
    assert over.search.options == {"depth": 1, "width": 2}
    file.write_text("")
    assert configured("demo", file) == load_preset("demo")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {nothing: 1}", "unknown setting 'model.nothing'; known are model.space"),
        ("nothing: 1", "unknown setting 'nothing'"),
        ("model: {heads: 3}", "heads=3 does not divide every hidden size"),
        ("train: {epochs: 0}", "train.epochs: Input should be greater than or equal to 1 (got 0)"),
        ("- 1", "a mapping of settings is needed, such as 'seed: 1' (got '[1]')"),
        ("a: [", "not YAML"),
        (None, "cannot be read, No such file or directory; give a YAML file of settings, such as config show prints"),
    ],
)
@pytest.mark.parametrize("command", ["run", "search", "reproduce"])
def test_what_is_wrong_in_a_file_is_one_line_that_names_it(main, tmp_path, command, text, message):
    file, data = tmp_path / "run.yaml", tmp_path / "data.csv"
    if text is not None:
        file.write_text(text)
    data.write_text("user_id,item_id\na,b\n")
    code, _, said = main("easrec", command, "--data", data, "--out", tmp_path / "o", "--config", file)
    assert code == 1 and said.startswith(f"error: {file}: ") and message in said and said.count("\n") == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("recipe", ["digits", "charlm"])
def test_an_unknown_setting_of_a_small_recipe_names_the_file(main, tmp_path, recipe):
    (tmp_path / "run.yaml").write_text("study: {stepz: 3}")
    code, _, said = main(recipe, "run", "--out", tmp_path / "o", "--config", tmp_path / "run.yaml")
    assert code == 1 and "run.yaml: unknown setting 'study.stepz', did you mean 'study.steps'" in said
    assert said.count("\n") == 1


def test_a_whole_file_serves_the_matrix_unless_it_changes_what_the_methods_differ_in(tmp_path):
    from easrec.cli.reproduce import _changes_in

    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(Config().updated({"model.hidden": 64}).model_dump(mode="json")))
    changes = _changes_in(file)
    assert changes["model.hidden"] == 64 and "seed" not in changes and "search.strategy" not in changes
    assert changes.keys() < read_changes(file, Config()).keys()


@pytest.mark.parametrize("name", ["seed: 4", "search: {strategy: none, budget: null}"])
def test_what_the_methods_differ_in_is_refused_with_the_file(main, tmp_path, name):
    (tmp_path / "data.csv").write_text("user_id,item_id\na,b\n")
    (tmp_path / "run.yaml").write_text(name)
    code, _, said = main("easrec", "reproduce", "--data", tmp_path / "data.csv", "--config", tmp_path / "run.yaml")
    assert code == 1 and "differs between the methods" in said and said.count("\n") == 1


def test_a_pipe_is_no_file_of_settings(main, tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    code, _, said = main("easrec", "run", "--out", tmp_path / "o", "--config", tmp_path / "pipe.yaml")
    assert code == 1 and said.count("\n") == 1
    assert "pipe.yaml: cannot be read, not a regular file; give a YAML file of settings, such as config show" in said
