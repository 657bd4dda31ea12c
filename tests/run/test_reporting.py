"""Who sees how far long work is: a terminal, a pipe, a function, or nobody."""

import io
import time
from typing import Literal

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.cost import Flops
from elasticnas.errors import ConfigError
from elasticnas.run import Progress, Run, drive
from elasticnas.search import (
    DARTS,
    SPOS,
    Evolve,
    PlainTraining,
    Problem,
    RandomSearch,
    ScoreOptions,
    SearchSettings,
    SupernetTrainer,
    TrainerSettings,
)


class Sizes(Space):
    width: Literal[8, 7, 6, 5, 4, 3, 2, 1]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def at_stderr(monkeypatch, file):
    monkeypatch.setattr("sys.stderr", file)  # in the test itself: pytest puts its own there before each
    return file


@pytest.fixture
def terminal(monkeypatch):
    """Makes stderr a terminal, and gives what it shows."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("elasticnas.report.live._REFRESH_SECONDS", 0.0)
    return lambda: at_stderr(monkeypatch, Terminal())


@pytest.fixture
def pipe(monkeypatch):
    return lambda: at_stderr(monkeypatch, io.StringIO())


def problem():
    torch.manual_seed(0)
    model = nn.Sequential(enn.FeedForward(4, Sizes.axes().width))
    batches = [torch.ones(2, 4)] * 4
    costs = {"flops": Flops(model, torch.zeros(1, 4))}
    return Problem(model, lambda model, batch: model(batch).square().mean(), batches, batches, costs)


SETTINGS = SearchSettings(steps=4, update_every=1, random_architectures=2)
WORK = {
    "darts": (lambda run: DARTS().search(problem(), SETTINGS, run), ["search", "random search"]),
    "spos": (lambda run: SPOS().search(problem(), SETTINGS, run), ["train", "evaluate"]),
    "random": (lambda run: RandomSearch().search(problem(), SETTINGS, run), ["train", "evaluate"]),
    "score-options": (lambda run: ScoreOptions().search(problem(), SETTINGS, run), ["train", "score"]),
    "evolve": (lambda run: Evolve("local", 6, 2).search(problem(), run=run), ["evaluate", "random search"]),
    "supernet": (lambda run: SupernetTrainer(problem(), TrainerSettings(steps=3)).run(run), ["train"]),
    "plain": (lambda run: drive(plain(), run or Run(), "retrain", 10), ["retrain"]),
}


def plain():
    network, loss = nn.Linear(4, 4), lambda network, batch: network(batch).square().mean()
    given = {"steps": 3, "rate": lambda step: 0.1, "clip_norm": None, "seed": 0, "identity": {}}
    return PlainTraining(network, loss, [torch.ones(2, 4)], **given)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", WORK)
def test_a_terminal_shows_every_stage_with_time_left_and_keeps_nothing(name, terminal):
    screen = terminal()
    work, stages = WORK[name]
    work(None)
    shown = screen.getvalue()
    assert all(stage in shown for stage in stages) and "0:00 left" in shown and "done in" not in shown
    assert shown.rstrip("\x1b[?25h\r\n").endswith("\x1b[2K")  # the last line is erased, the cursor is back


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", WORK)
def test_a_pipe_shows_nothing(name, pipe):
    screen = pipe()
    WORK[name][0](None)
    assert screen.getvalue() == ""


@pytest.mark.parametrize("progress", [None, False, lambda _: None])
def test_who_says_otherwise_sees_nothing_in_a_terminal(progress, terminal):
    screen = terminal()
    WORK["plain"][0](Run(progress=progress))
    assert screen.getvalue() == ""


def test_a_bar_that_is_asked_for_is_lines_in_a_pipe(pipe):
    screen = pipe()
    WORK["plain"][0](Run(progress=True))
    assert screen.getvalue().splitlines() == ["retrain ...", "retrain: done in 0:00"]


def test_figures_stand_beside_the_bar(terminal):
    screen = terminal()
    with Run() as run:
        run.report(Progress("train", 1, 4, {"learning_rate": 0.5, "loss": 2.0, "accuracy": 1 / 3}, 90.0))
    assert "loss 2, accuracy 0.3333" in screen.getvalue() and "1:30 left" in screen.getvalue()


def test_parts_share_the_bar_of_their_run_also_where_that_is_not_entered(terminal):
    screen = terminal()
    run = Run()
    for name in ("one", "two"):
        with run.part(name) as part:
            part.report(Progress(name, 1, 2, {}, 1.0))
    assert screen.getvalue().count("\x1b[?25h") == 2  # each gave the cursor back
    run.report(Progress("three", 1, 2, {}, 1.0))  # nobody would end this one
    assert "three" not in screen.getvalue()


def test_a_bar_ends_with_an_error(terminal):
    screen = terminal()
    with pytest.raises(ValueError), Run() as run:
        run.report(Progress("train", 1, 4, {}, 1.0))
        raise ValueError
    before = screen.getvalue()
    time.sleep(0.3)  # a thread that still drew would be seen
    assert screen.getvalue() == before


def test_an_owner_of_stages_shows_them_itself(terminal):
    screen = terminal()
    seen, told = [], []
    for run in (Run(), Run(progress=told.append)):
        with run, run.stage("piece", {}, seen.append) as stage:
            stage.report(Progress("train", 1, 2, {}, 1.0))
    assert [len(seen), len(told)] == [2, 1] and "train" not in screen.getvalue()


def test_anything_else_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="progress='bar': True for a bar, None for silence, 'auto', or a function"):
        Run(progress="bar")


def test_a_finished_evolution_has_no_progress_when_it_is_resumed(tmp_path):
    seen = []
    first = Evolve("random", trials=2).search(problem(), run=Run(tmp_path, progress=seen.append))
    assert [p.step for p in seen] == [1, 2]
    again = Evolve("random", trials=3).search(problem(), run=Run(tmp_path, resume=True, progress=seen.append))
    assert [p.step for p in seen] == [1, 2, 3] and again.tried[:2] == first.tried
