"""Completion in shells: as bash asks for it, at every level, also where commands are made when they are entered."""

import pytest

from elasticnas.plugins import RECIPES
from tests.cli.test_plugins import install


@pytest.fixture
def complete(main, monkeypatch):
    """What the shell is offered for the last word of a line, which may be empty; and what else is printed."""

    def ask(line):
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        monkeypatch.setenv("_ELASTICNAS_COMPLETE", "complete_bash")
        _, offered, said = main()
        return offered.split(), said

    return ask


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("elasticnas ", ["space", "plugins", "compare", "charlm", "digits", "easrec"]),
        ("elasticnas easrec re", ["retrain", "refit", "recommend", "reproduce"]),
        ("elasticnas easrec run --preset d", ["default", "demo", "douban"]),
        ("elasticnas easrec run --format ra", ["ratings.dat"]),
        ("elasticnas easrec download m", ["ml-1m"]),
        ("elasticnas easrec config show g", ["gowalla"]),
        ("elasticnas digits run --device c", ["cpu", "cuda"]),
        ("elasticnas space sample x --format ", ["yaml", "json"]),
    ],
)
def test_commands_presets_datasets_and_formats_complete(complete, line, offered):
    assert complete(line) == (offered, "")


def test_a_broken_plug_in_offers_nothing_and_says_nothing(complete, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "towers", "towers", [(RECIPES, "broken = towers:missing")])
    assert complete("elasticnas broken ") == ([], "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_shown(main, monkeypatch, shell):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    code, script, said = main("--show-completion", shell)
    assert code == 0 and "_ELASTICNAS_COMPLETE=complete_" in script, said
