"""The page for users of other libraries: every setting, value and option that it names exists."""

import re

import typer

from easrec.cli import commands
from easrec.config import Config
from elasticnas.cli.options import changes_of
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "from-other-libraries.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(commands).commands
OPTIONS = {
    name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for name, command in COMMANDS.items()
}


def ours():
    """Code in the last column of the tables, and in blocks of commands."""
    rows = [line.rstrip("|").rpartition(" | ")[2] for line in PAGE.splitlines() if line.startswith("| ")]
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    return [*(code for row in rows for code in re.findall(r"`([^`]+)`", row)), *blocks]


def test_every_setting_exists():
    defaults = Config()
    names = {code for code in ours() if re.fullmatch(r"(model|train|search)\.\w+", code)}
    assert len(names) >= 15
    for name in names:
        section, _, field = name.partition(".")
        assert field in type(getattr(defaults, section)).model_fields, name


def test_every_value_is_accepted():
    changes = [change for code in ours() for change in re.findall(r"--set (\S+=\S+)", code)]
    assert len(changes) > 20
    for change in changes:
        if change != "search.strategy=none":
            defaults = Config().updated({"model.heads": 2})
            assert defaults.updated(changes_of([change])) is not None


def test_every_option_exists_in_its_command():
    seen = set()
    for code in ours():
        command = re.search(r"(?:easrec )?\b(run|prepare|recommend|evaluate|export|refit)\b", code)
        known = OPTIONS[command.group(1)] if command else set().union(*OPTIONS.values())
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", code):
            assert option in known, f"{code}: no option {option}"
            seen.add(option)
    assert len(seen) > 25


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
