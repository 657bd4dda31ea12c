"""The wheel installs and runs outside the checkout, recipe and command line included."""

import os
import subprocess
import sys
import zipfile

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_what_it_should(wheel):
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
        (points,) = (content.read(name).decode() for name in names if name.endswith("entry_points.txt"))
        (metadata,) = (content.read(name).decode() for name in names if name.endswith("METADATA"))
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"elasticnas", "easrec", "elasticnas_recipes"}
    assert {"elasticnas/py.typed", "easrec/py.typed", "easrec/presets/paper.yaml", "elasticnas/nn/linrec.py"} <= names
    assert {f"elasticnas_recipes/{name}/py.typed" for name in ("digits", "charlm")} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "elasticnas = elasticnas.cli:main" in points and "easrec = easrec.plugin:recipe" in points
    assert "[elasticnas.strategies]" in points and "reinforce = elasticnas.search:Reinforce" in points
    assert "License-Expression: MIT" in metadata and "Requires-Dist: torch>=2.6" in metadata


def test_the_installed_wheel_runs_elsewhere(wheel, tmp_path):
    """Installed without its dependencies, which this environment has, into a folder of its own."""
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}

    def run(code, *arguments):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)

    where = run("import elasticnas, easrec; print(elasticnas.__file__, easrec.__file__)")
    assert where.stdout.count(str(target)) == 2, where.stderr
    cli = "from elasticnas.cli import main; main()"
    listed = run(cli, "easrec", "run", "--help")
    assert listed.returncode == 0 and "ml-1m" in listed.stdout
    small = ["model.layers=1", "search.epochs=1", "train.epochs=1", "compare=[]", "search.random_architectures=1"]
    settings = [part for change in small for part in ("--set", change)]
    done = run(cli, "easrec", "run", "--preset", "demo", "--out", tmp_path / "out", "--threads", 1, *settings)
    assert done.returncode == 0, done.stderr
    assert "commit: release" in (tmp_path / "out" / "result.md").read_text()
