"""A space file runs nothing that the user has not agreed to."""

import pytest

CODE = """
from pathlib import Path
from typing import Literal
from elasticnas import Space

Path("it_ran").touch()

class Mine(Space):
    width: Literal[3, 2]
"""


@pytest.mark.parametrize("target", ["./stranger.py:Mine", "stranger_module:Mine", "stranger_package.inner:Mine"])
@pytest.mark.parametrize("command", ["show", "check", "sample"])
def test_a_space_file_runs_no_code_without_consent(main, tmp_path, monkeypatch, target, command):
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "stranger_package"
    package.mkdir()
    for path in (tmp_path / "stranger.py", tmp_path / "stranger_module.py", package / "__init__.py"):
        path.write_text(CODE)
    (package / "inner.py").write_text(CODE)
    (tmp_path / "space.yaml").write_text(f"space: {target}\n")
    code, printed, said = main("space", command, "space.yaml")
    assert (code, printed) == (1, "") and said.count("\n") == 1
    assert target in said and "--run-code" in said
    assert not (tmp_path / "it_ran").exists()


def test_with_consent_the_class_is_shown(main, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trusted.py").write_text(CODE)
    (tmp_path / "space.yaml").write_text("space: ./trusted.py:Mine\n")
    code, printed, _ = main("space", "show", "space.yaml", "--run-code")
    assert code == 0 and "architectures: 2" in printed and (tmp_path / "it_ran").exists()


def test_installed_plug_ins_need_no_consent(main, tmp_path):
    (tmp_path / "space.yaml").write_text("space: easrec.space:EASRecSpace\n")
    code, printed, _ = main("space", "show", tmp_path / "space.yaml")
    assert code == 0 and "architectures:" in printed
