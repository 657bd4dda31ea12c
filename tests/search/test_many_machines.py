"""Evaluations of one search by several processes, in a journal and in a real PostgreSQL; one process is killed."""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Literal

import optuna
import pytest
import torch
from torch import nn

from elasticnas import Space, axes_of, elastify
from elasticnas.cost import Params
from elasticnas.search import Evolve, Problem, SearchSettings
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


def searched(storage, method="nsga2", log=None, hang=None, trials=12, evaluate=None):
    """Search the space, note each evaluation in a file, and hang in the first if asked to."""

    def noting(model):
        arch = axes_of(model).current()
        with open(log or os.devnull, "a") as file:
            file.write(json.dumps([os.getpid(), arch.width, arch.depth]) + "\n")
        time.sleep(600 if hang else 0.05)
        return {"worth": worth(arch)}

    torch.manual_seed(0)
    model = elastify(Net, Sizes)
    problem = Problem(
        model, evaluate=evaluate or noting, metric="worth", direction="maximise", costs={"n": Params(model)}
    )
    return Evolve(method, trials, 4, storage=storage).search(problem, SearchSettings())


def opened(place):
    """Return a storage as a user gives it: a path, or Optuna's object with a short heartbeat."""
    if "://" not in place:
        return place
    url = place.replace("postgresql://", "postgresql+psycopg://")
    return optuna.storages.RDBStorage(url, heartbeat_interval=1, grace_period=2)


def started(place, method, log, hang=False):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.search.test_many_machines import *; "
        "r = searched(opened(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5] == 'True'); "
        "print(json.dumps([[c.architecture.width, c.architecture.depth] for c in [r.found, *r.tried, *r.random_tried]]))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(ROOT), str(place), method, str(log), str(hang)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(worker):
    out, err = worker.communicate(timeout=120)
    assert worker.returncode == 0, err
    return [tuple(sizes) for sizes in json.loads(out)]


def evaluations(log):
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture(scope="module")
def database():
    with tempfile.TemporaryDirectory(prefix="elasticnas-", ignore_cleanup_errors=True) as folder:
        with server(Path(folder)) as url:
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
    log = tmp_path / "log"
    victim = started(place, method, log, hang=True)
    while not evaluations(log):
        assert victim.poll() is None, victim.communicate()[1]
        time.sleep(0.05)
    others = [started(place, method, log) for _ in range(2)]
    while len(evaluations(log)) < 4:
        assert all(other.poll() is None for other in others), [other.communicate()[1] for other in others]
        time.sleep(0.05)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    for other in others:
        found, *both = ended(other)
        assert found == BEST and Counter(both) == Counter(dict.fromkeys(ALL, 2))  # the search and random search
    (lost,) = [(width, depth) for pid, width, depth in evaluations(log) if pid == victim.pid]
    rest = Counter((width, depth) for pid, width, depth in evaluations(log) if pid != victim.pid)
    assert rest[lost] >= 1 and set(rest) == ALL
    if method == "random":  # nsga2: the random search beside it takes what it knows already
        assert rest.total() <= 12 + 2
    assert [left for left in tmp_path.glob(".*.flock") if left.name != ".search.journal.flock"] == []
