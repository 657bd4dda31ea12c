"""What the help says is so."""

import re

import pytest

from easrec.config import Config
from elasticnas.cli.options import changes_of
from elasticnas.settings import updated
from elasticnas_recipes.charlm.config import Config as CharlmConfig
from elasticnas_recipes.digits.config import Config as DigitsConfig


@pytest.mark.parametrize(
    ("recipe", "settings"), [("easrec", Config()), ("digits", DigitsConfig()), ("charlm", CharlmConfig())]
)
def test_the_setting_that_the_help_names_is_one_of_the_recipe(main, recipe, settings):
    code, shown, _ = main(recipe, "run", "--help")
    example = re.search(r"Change a setting, such as ([\w.]+=\w+)", " ".join(re.sub("[│─╭╮╰╯]", " ", shown).split()))
    assert code == 0 and updated(settings, changes_of([example[1]])) != settings


@pytest.mark.parametrize("command", ["plugins", "space show easrec"])
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_lists_of_what_there_is_are_whole_at_any_width(main, monkeypatch, command, columns):
    monkeypatch.setattr("elasticnas.report.console.WIDTH", columns)
    code, shown, _ = main(*command.split())
    joined = "".join(shown.split())
    assert code == 0 and "…" not in shown
    expected = {"plugins": "elasticnas_recipes.charlm.plugin:recipe", "space show easrec": "architectures:"}
    assert expected[command] in joined
    tables = [line for line in shown.splitlines() if not re.match(r"architectures|largest|smallest", line)]
    assert max(map(len, tables)) <= columns
