"""Evaluations of one search by several processes, in a journal and in a real PostgreSQL; one process is killed."""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Literal

import optuna
import pytest
import torch
from torch import nn

from elasticnas import Space, axes_of, elastify
from elasticnas.cost import Params
from elasticnas.errors import CheckpointError, PluginError
from elasticnas.search import Evolve, Problem, SearchSettings, workers
from tests.conftest import ROOT
from tests.search.postgres import server

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::optuna.exceptions.ExperimentalWarning")


class Sizes(Space):
    """Twelve architectures."""

    width: Literal[16, 8, 4, 2]
    depth: Literal[3, 2, 1]


class Net(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))
        self.further = nn.ModuleList(nn.Linear(2, 2) for _ in range(depth))

    def forward(self, x):
        x = self.layers(x)
        for layer in self.further:
            x = layer(x)
        return x


def worth(arch):
    """Best in the middle, so that neither the first nor the largest architecture is it."""
    return -abs(arch.width - 7) - abs(arch.depth - 2)


ALL = {(width, depth) for width in (16, 8, 4, 2) for depth in (3, 2, 1)}
BEST = max(ALL, key=lambda sizes: -abs(sizes[0] - 7) - abs(sizes[1] - 2))


def searched(storage, method="nsga2", log=None, hang_in=None, evaluate=None):
    """Search the whole space, note each evaluation in a file, and hang in the one with this number if asked to."""
    count = itertools.count(1)

    def noting(model):
        arch = axes_of(model).current()
        with open(log, "a") as file:
            file.write(json.dumps([os.getpid(), arch.width, arch.depth]) + "\n")
        time.sleep(600 if next(count) == hang_in else 0.1)
        return {"worth": worth(arch)}

    torch.manual_seed(0)
    model = elastify(Net, Sizes)
    given = {"metric": "worth", "direction": "maximise", "costs": {"n": Params(model)}}
    problem = Problem(model, evaluate=evaluate or noting, **given)
    return Evolve(method, 12, 4, storage=storage).search(problem, SearchSettings())


def plain(model):
    return {"worth": worth(axes_of(model).current())}


def opened(place):
    """Return a storage as a user gives it: a path, or Optuna's object with a short heartbeat."""
    if "://" not in place:
        return place
    url = place.replace("postgresql://", "postgresql+psycopg://")
    return optuna.storages.RDBStorage(url, heartbeat_interval=1, grace_period=2)


def started(place, method, log, hang_in):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.search.test_many_machines import *; "
        "searched(opened(sys.argv[2]), *sys.argv[3:5], int(sys.argv[5]))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(ROOT), place, method, str(log), str(hang_in)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def evaluations(log, process=None):
    """Return the noted evaluations, of one process if given."""
    lines = map(json.loads, log.read_text().splitlines()) if log.exists() else []
    return [(width, depth) for pid, width, depth in lines if process in (None, pid)]


def wait_for(count, process, log):
    while len(evaluations(log, process.pid)) < count:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def kill_in_evaluation(number, process, log, ours_before):
    """Kill a process that hangs, once all the rest is evaluated and its heartbeat would have run out without it."""
    wait_for(number, process, log)
    while set(evaluations(log)) != ALL:
        time.sleep(0.02)
    time.sleep(3)
    ours_before += evaluations(log, os.getpid())
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def database():
    # a short path that another user may enter: tmp_path is closed to it
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, server(Path(folder)) as url:
        yield url


@pytest.fixture(params=["journal", "database"])
def place(request, tmp_path):
    """A storage for each test: a journal, or a database of its own."""
    if request.param == "journal":
        return str(tmp_path / "search.journal")
    return new_database(request.getfixturevalue("database"))


numbers = itertools.count()


def new_database(url):
    import psycopg

    name = f"search{next(numbers)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.rsplit("/", 1)[0] + f"/{name}"


@pytest.mark.parametrize("method", ["nsga2", "random"])
def test_the_architecture_of_a_killed_process_is_evaluated_by_another(method, place, tmp_path):
    """The other process evaluates the rest of the space once, and waits for it as long as it lives."""
    log, before = tmp_path / "log", []
    victim = started(place, method, log, hang_in=3)
    wait_for(1, victim, log)
    killer = threading.Thread(target=kill_in_evaluation, args=(3, victim, log, before))
    killer.start()
    result = searched(opened(place), method, log)
    killer.join()
    assert victim.returncode == -signal.SIGKILL
    for tried in (result.tried, result.random_tried):
        assert len(tried) == 12 and {(c.architecture.width, c.architecture.depth) for c in tried} == ALL
    assert (result.best.width, result.best.depth) == BEST == (8, 2)
    ours, lost = evaluations(log, os.getpid()), evaluations(log, victim.pid)[-1]
    assert lost in ours and lost not in before and len(evaluations(log, victim.pid)) == 3
    twice = Counter(evaluations(log)) - Counter(ALL)
    assert twice[lost] == 1 and twice.total() <= (1 if method == "random" else 2)  # both may propose one at a time
    assert {left.name for left in tmp_path.glob(".*.flock")} <= {".search.journal.flock"}


def study_in(path):
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    return optuna.load_study(study_name="elasticnas", storage=optuna.storages.JournalStorage(backend))


def stop_after(count):
    calls = itertools.count()

    def evaluate(model):
        if next(calls) == count:
            raise KeyboardInterrupt
        return plain(model)

    return evaluate


def leave(study, arch, **attributes):
    """Leave a running trial as a process does that is killed."""
    study.enqueue_trial({}, user_attrs=attributes)
    trial = study.ask()
    for name, options in (("width", (16, 8, 4, 2)), ("depth", (3, 2, 1))):
        assert trial.suggest_categorical(name, options) is not None
    if arch:
        trial.set_user_attr("architecture", arch)


@pytest.mark.parametrize("deaths", [2, 3])
def test_an_architecture_that_kills_every_process_is_given_up(deaths, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "s", evaluate=stop_after(0))
    for _ in range(deaths):
        leave(study_in(tmp_path / "s"), {"width": 8, "depth": 2})
    result = searched(tmp_path / "s", evaluate=plain)
    if deaths == 2:
        assert (result.best.width, result.best.depth) == BEST and not result.failures
    else:
        (failure,) = result.failures
        assert failure.architecture == Sizes(width=8, depth=2) and len(result.tried) == 11
        assert failure.message == "its process died in 3 evaluations" and failure.attempts == 3


def test_a_trial_whose_process_died_before_the_evaluation_holds_nobody_up(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "s", "random", evaluate=stop_after(0))
    options = {"width": 8, "depth": 2}
    leave(study_in(tmp_path / "s"), None, **{"elasticnas queued": options})
    monkeypatch.setattr(workers, "_START_SECONDS", 1.0)
    assert len(searched(tmp_path / "s", "random", evaluate=plain).tried) == 12


def test_an_evaluation_is_kept_though_others_gave_its_process_up(tmp_path):
    """Its trial was failed meanwhile, as after a heartbeat that came late."""
    evaluated = []

    def evaluate(model):
        study = study_in(tmp_path / "s")
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        evaluated.append(axes_of(model).current())
        return plain(model)

    result = searched(tmp_path / "s", "random", evaluate=evaluate)
    assert [c.architecture for c in result.tried] == evaluated and len(evaluated) == 12
    again = searched(tmp_path / "s", "random", evaluate=evaluate)
    assert again.tried == result.tried and len(evaluated) == 12


def test_a_storage_that_shows_no_deaths_is_told(tmp_path):
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "s"))
    told = "^JournalStorage does not show when a process dies: .* RDBStorage"
    with pytest.warns(UserWarning, match=told) as warned:
        assert len(searched(optuna.storages.JournalStorage(backend), evaluate=plain).tried) == 12
    assert len([w for w in warned if "does not show" in str(w.message)]) == 1
    memory = optuna.storages.InMemoryStorage()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not show")
        result = searched(memory, evaluate=plain)
    assert result.tried == searched(memory, evaluate=stop_after(0)).tried  # all are known


def test_passwords_are_not_shown(database):
    url = database.replace("s3cr%40t%2Fword", "wr%40ng")
    with pytest.raises(
        CheckpointError, match=r"^storage postgresql://nas:\*\*\*@127\.0\.0\.1:\d+/postgres: "
    ) as raised:
        searched(url, evaluate=plain)
    assert "wr%40ng" not in str(raised.value) and "wr@ng" not in str(raised.value)
    assert "password authentication failed" in str(raised.value) and "\n" not in str(raised.value)


def test_a_url_of_postgresql_is_enough(database):
    url = new_database(database)
    result = searched(url, "local", evaluate=plain)
    assert (result.best.width, result.best.depth) == BEST
    assert searched(url, "local", evaluate=stop_after(0)).tried == result.tried


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:p@ss@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?user=me&password=p@ss", "postgresql://host/db?user=me&password=***"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
    ],
)
def test_a_missing_driver_is_one_line(url, shown, monkeypatch):
    for name in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PluginError) as raised:
        searched(url, evaluate=plain)
    assert str(raised.value) == (
        f"storage {shown}: the driver of this database is not installed: pip install 'elasticnas[postgres]' for "
        "PostgreSQL, or the driver that the URL names"
    )
