"""Plug-ins: found through entry points of installed packages; broken ones are named and harm no other."""

import signal
import subprocess
import sys
import time
from importlib.metadata import version

import pytest

from elasticnas.errors import PluginError
from elasticnas.plugins import RECIPES, SPACES, STRATEGIES, discover, load_plugin

MODULE = """
from typing import Literal
import typer
from elasticnas import Space
from elasticnas.search import Strategy

class Tower(Space):
    width: Literal[8, 4]

class Recipe:
    name, summary, commands = "tower", "Builds towers.", typer.Typer()

recipe = Recipe()

@recipe.commands.command()
def build():
    print("built")

@recipe.commands.callback()
def root():
    pass

not_a_space = 3

class Guess(Strategy):
    def search(self, problem, settings=None, run=None):
        raise NotImplementedError
"""


def install(folder, name, module, points, text=MODULE):
    """A distribution as pip leaves it: a module and its metadata."""
    (folder / f"{module}.py").write_text(text)
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("\n".join(f"[{group}]\n{entry}" for group, entry in points) + "\n")


@pytest.fixture
def packages(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_recipe_of_this_repository_is_a_plug_in_like_any_other():
    found = {plugin.name: plugin for plugin in discover(RECIPES)}
    assert found["easrec"].error is None and found["easrec"].distribution == f"elasticnas {version('elasticnas')}"
    assert load_plugin(SPACES, "easrec").choices()


def test_an_installed_space_and_recipe_are_found(packages, main):
    install(packages, "towers", "towers", [(SPACES, "tower = towers:Tower"), (RECIPES, "tower = towers:recipe")])
    code, listed, _ = main("plugins")
    assert code == 0 and "towers 1.2" in listed and "towers:recipe" in listed
    assert main("tower", "build") == (0, "built\n", "")
    assert "Builds towers." in main("--help")[1]
    _, shown, _ = main("space", "show", "tower")
    assert "8, 4" in shown and "architectures: 2" in shown


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("towers:missing", "AttributeError: module 'towers' has no attribute 'missing'"),
        ("nowhere:recipe", "ModuleNotFoundError: No module named 'nowhere'"),
        ("towers:not_a_space", "expected name, summary and commands, found 3"),
        ("fails:recipe", "RuntimeError: out of order"),
    ],
)
def test_a_broken_plug_in_is_named_and_skipped(packages, main, target, reason):
    install(packages, "towers", "towers", [(RECIPES, f"broken = {target}")])
    (packages / "fails.py").write_text("raise RuntimeError('out of order')")
    code, listed, said = main("plugins")
    assert code == 0 and reason in listed and "easrec" in listed
    assert said == f"warning: plug-in broken ({target}) is skipped: {reason}\n"
    # the other commands go on and do not mention it; its own gives the reason
    for command in (["space", "show", "easrec"], ["--version"], ["easrec", "--help"]):
        code, _, said = main(*command)
        assert (code, said) == (0, "")
    assert "see elasticnas plugins" in main("--help")[1]
    for command in (["broken"], ["broken", "--help"], ["broken", "run", "--out", "x"]):
        assert main(*command) == (1, "", f"error: plug-in broken ({target}): {reason}\n")
    with pytest.raises(PluginError, match="plug-in broken"):
        load_plugin(RECIPES, "broken")


def test_a_space_plug_in_must_be_a_space(packages, main):
    install(packages, "towers", "towers", [(SPACES, "tower = towers:not_a_space")])
    code, _, said = main("space", "show", "tower")
    assert code == 1 and said == "error: plug-in tower (towers:not_a_space): expected a Space class, found 3\n"


def test_an_installed_strategy_is_found(packages, main):
    install(packages, "towers", "towers", [(STRATEGIES, "guess = towers:Guess")])
    code, listed, _ = main("plugins")
    assert code == 0 and "towers:Guess (towers 1.2)" in listed
    lines = listed.split("strategies ")[1].split("recipes ")[0].splitlines()
    own = {line.split()[0] for line in lines if "(elasticnas " in line}
    gradient = {"darts", "dynamic-constraint", "proxylessnas", "recnas", "reinforce"}
    assert own == {*gradient, "random", "score-options", "spos"}
    assert load_plugin(STRATEGIES, "guess").__name__ == "Guess"
    with pytest.raises(PluginError, match=r"no plug-in 'gues' in elasticnas\.strategies; installed are darts, .*guess"):
        load_plugin(STRATEGIES, "gues")


def test_a_strategy_plug_in_must_be_a_strategy(packages, main):
    install(packages, "towers", "towers", [(STRATEGIES, "guess = towers:Tower")])
    code, listed, said = main("plugins")
    assert code == 0 and "expected a Strategy class" in listed
    reason = "expected a Strategy class, found <class 'towers.Tower'>"
    assert said == f"warning: plug-in guess (towers:Tower) is skipped: {reason}\n"
    with pytest.raises(PluginError, match=r"plug-in guess \(towers:Tower\): expected a Strategy class"):
        load_plugin(STRATEGIES, "guess")


@pytest.mark.parametrize("name", ["space", "plugins", "compare"])
def test_a_recipe_cannot_take_the_name_of_a_built_in_command(packages, main, name):
    install(packages, "towers", "towers", [(RECIPES, f"{name} = towers:recipe")])
    reason = f"{name} is a command of elasticnas itself; rename the entry point"
    code, listed, said = main("plugins")
    assert code == 0 and f"broken: {name} (towers:recipe), {reason}\n" in listed and "EASRecSpace" in listed
    assert said == f"warning: plug-in {name} (towers:recipe) is skipped: {reason}\n"
    assert "architectures:" in main("space", "show", "easrec")[1]
    shown = main("--help")[1]
    assert "Show, check and sample search spaces." in shown and "Builds towers." not in shown
    assert shown.count(f"│ {name} ") == 1


def test_two_plug_ins_of_one_name_conflict(packages):
    install(packages, "towers", "towers", [(SPACES, "tower = towers:Tower")])
    install(packages, "others", "others", [(SPACES, "tower = others:Tower")])
    with pytest.raises(PluginError, match="two plug-ins have this name; uninstall one"):
        load_plugin(SPACES, "tower")


def test_an_unknown_name_lists_what_is_there(main):
    code, _, said = main("space", "show", "nothing")
    assert (
        code == 1
        and said
        == "error: no plug-in 'nothing' in elasticnas.spaces; installed are charlm, digits, easrec, easrec-wide\n"
    )


def test_commands_that_fail_when_made_are_a_broken_plug_in(packages, main):
    text = """
class Recipe:
    name, summary = "late", "Imports late."

    @property
    def commands(self):
        import nowhere

recipe = Recipe()
"""
    install(packages, "late", "late", [(RECIPES, "late = late:recipe")], text)
    reason = "ModuleNotFoundError: No module named 'nowhere'"
    assert main("late", "run") == (1, "", f"error: plug-in late (late:recipe): {reason}\n")


@pytest.mark.parametrize(
    ("arguments", "code", "lines"), [("easrec run --preset demo", 1, 1), ("plugins", 0, 3), ("--version", 0, 0)]
)
def test_a_missing_extra_is_one_line(arguments, code, lines):
    start = "import sys; sys.modules['polars'] = None; from elasticnas.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", start, *arguments.split()], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (code, lines), done.stderr
    # of the space and of the recipe in the list of plug-ins
    assert done.stderr.count("polars is not installed; pip install 'elasticnas[easrec]'") == lines


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_what_needs_no_torch_does_not_import_it(command):
    start = (
        "import sys; from elasticnas.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'torch', 'polars', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", start, command], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]" and (command == "--version") != ("EASRec: search" in done.stdout)


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.2])
def test_ctrl_c_while_the_command_starts_is_one_line(seconds):
    begun = "from elasticnas.cli import main; print(flush=True); main()"  # what comes before it is Python's own start
    command = [sys.executable, "-c", begun, "plugins"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert (process.returncode, said.count("\n")) in ((130, 1), (0, 0)), said
