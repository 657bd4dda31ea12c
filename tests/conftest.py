import signal
import sys
import warnings
from pathlib import Path

import pytest
import torch

from elasticnas.testing import checked_examples

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
LEAST_EXAMPLES = 2000


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real interactions, where it is there."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA.relative_to(ROOT.parent)} beside the project")
    return DATA


@pytest.fixture
def main(monkeypatch, capsys):
    """The command line in this process: exit code, and what it printed on stdout and stderr."""
    from elasticnas.cli import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["elasticnas", *map(str, arguments)])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        with pytest.raises(SystemExit) as leaving, warnings.catch_warnings():
            warnings.simplefilter("always")
            main()
        printed = capsys.readouterr()
        return leaving.value.code, printed.out, printed.err

    return run


def pytest_terminal_summary(terminalreporter) -> None:
    terminalreporter.write_line(f"the law was checked on {checked_examples()} examples")


def pytest_sessionfinish(session, exitstatus) -> None:
    # a whole default run must check the law often enough; part of it, by name or folder, need not
    whole = session.config.args == session.config.getini("testpaths") or session.config.args == [str(ROOT / "tests")]
    if whole and not session.config.option.keyword and exitstatus == 0 and checked_examples() < LEAST_EXAMPLES:
        session.exitstatus = 1
