"""A typed user's modules: both checkers refuse the lines marked as errors, and no others."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.documentation import blocks

HERE = Path(__file__).parent
MODULES = [path for path in sorted(HERE.glob("*.py")) if path.name not in ("__init__.py", Path(__file__).name)]


SHOWN = {"README.md": "result.best.hiden", "docs/search.md": "RandomSearch().search(problem()).best.hiden"}
UNANNOTATED = "# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls\n# pyright: standard\n"


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """The modules here, and what the pages show first, each with a misspelt size of its result."""
    folder, written = tmp_path_factory.mktemp("shown"), []
    for number, (page, wrong) in enumerate(SHOWN.items()):
        written.append(folder / f"shown_{number}.py")
        code = next(blocks(ROOT / page, "python")).code
        written[-1].write_text(f"{UNANNOTATED}{code}{wrong}  # error: hiden\n", encoding="utf-8")
    return [*MODULES, *written]


def marked(modules):
    """Marked lines, by file and number, with the words that the message must contain."""
    texts = [(path.name, path.read_text(encoding="utf-8").split("\n")) for path in modules]
    lines = [(name, *each) for name, text in texts for each in enumerate(text, 1)]
    return {(name, n): line.partition("  # error: ")[2] for name, n, line in lines if "  # error" in line}


def refused_for_the_reason(found, modules):
    """Whether the lines with a message are those marked, and each has the expected words in one of its messages."""
    messages, expected = {}, marked(modules)
    for name, line, message in found:
        messages[name, line] = messages.get((name, line), "") + message
    wrong = {key: message for key, message in messages.items() if expected.get(key, "") not in message}
    assert messages.keys() == expected.keys(), messages.keys() ^ expected.keys()
    assert wrong == {}


def checked(*command):
    environment = {**os.environ, "MYPYPATH": os.pathsep.join([str(ROOT), str(ROOT / "recipes")])}
    command = [sys.executable, "-m", *map(str, command)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


def test_enough_lines_are_marked(modules):
    assert len(marked(MODULES)) >= 30 and {name for name, _ in marked(MODULES)} == {"wrong.py"}
    assert all(marked(modules).values())
    assert len(marked(modules)) == len(marked(MODULES)) + len(SHOWN)


def test_mypy_refuses_the_marked_lines_and_no_others(modules):
    if find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    done = checked("mypy", "--config-file", ROOT / "pyproject.toml", *modules)
    found = re.findall(r"^(.+?):(\d+): error: (.*)", done.stdout, re.M)
    assert found, done.stderr
    refused_for_the_reason([(Path(name).name, int(line), message) for name, line, message in found], modules)


def test_pyright_refuses_the_marked_lines_and_no_others(modules, tmp_path):
    """basedpyright is pyright with its own node: nothing is downloaded at the first run."""
    if find_spec("basedpyright") is None:
        pytest.skip("basedpyright is not installed")
    settings = json.loads((HERE / "pyrightconfig.json").read_text(encoding="utf-8"))
    paths = {"include": [*map(str, modules)], "extraPaths": [str(ROOT), str(ROOT / "recipes")]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings | paths), encoding="utf-8")
    done = checked("basedpyright", "-p", tmp_path, "--pythonpath", sys.executable, "--outputjson")
    if not done.stdout:
        pytest.skip(f"basedpyright does not run here: {done.stderr[-300:]}")
    errors = [each for each in json.loads(done.stdout)["generalDiagnostics"] if each["severity"] == "error"]
    found = [(Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"]) for each in errors]
    refused_for_the_reason(found, modules)


def test_the_typed_network_runs_as_its_types_say():
    """What the checkers take for an architecture are axes: sizes of the largest outside a scope, else of the scope."""
    from elasticnas import _PACKAGES, Axes, extract
    from tests.typed.network import PACKAGES, Encoder, Net, arch, axes, scopes, supernet

    assert [package.__name__ for package in PACKAGES] == [f"elasticnas.{name}" for name in _PACKAGES]
    assert isinstance(axes, Axes) and (arch.head_dim, arch.head.width) == (arch.hidden // arch.heads, 8)
    x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    small = Encoder.smallest()
    with axes.at(small):
        expected = supernet(x)
    plain, built = extract(supernet, small, x), Net(small)
    built.load_state_dict(plain.state_dict())
    assert type(plain) is Net and torch.allclose(built.eval()(x), expected, atol=1e-6)
    scopes(x)
