"""The recipe under torchrun."""

import pytest
from typer.testing import CliRunner

from easrec.cli import commands
from elasticnas.errors import ConfigError


@pytest.fixture
def started_by_torchrun(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("command", ["run", "search", "retrain", "refit", "evaluate", "recommend", "prepare"])
def test_commands_run_in_one_process(command, tmp_path, started_by_torchrun):
    done = CliRunner().invoke(commands, [command, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == ("elasticnas easrec runs in one process, and there are 2: start it without torchrun")
    assert not (tmp_path / "out").exists()
