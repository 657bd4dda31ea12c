import os
import signal
import sys
import warnings
from pathlib import Path

import pytest
import torch

from elasticnas.testing import checked_examples

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start: several test workers share the cores

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
LEAST_EXAMPLES = 2000  # drawn by hypothesis for the contracts of elastic parts; other checks of the law come on top


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


law_examples = pytest.StashKey[int]()


def pytest_configure(config) -> None:
    config.stash[law_examples] = 0


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    node.config.stash[law_examples] += getattr(node, "workeroutput", {}).get("law_examples", 0)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session, exitstatus) -> None:
    config = session.config
    if hasattr(config, "workeroutput"):  # one of several processes
        config.workeroutput["law_examples"] = checked_examples()
        return
    config.stash[law_examples] += checked_examples()
    # a whole default run must check the law often enough; part of it, by name or folder, need not
    whole = config.args == config.getini("testpaths") or config.args == [str(ROOT / "tests")]
    if whole and not config.option.keyword and exitstatus == 0 and config.stash[law_examples] < LEAST_EXAMPLES:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter, config) -> None:
    terminalreporter.write_line(f"the law was checked on {config.stash[law_examples]} drawn examples")
