"""drive: checkpoints, clock, progress, and Ctrl-C."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from elasticnas.checkpoint import load_checkpoint, save_checkpoint
from elasticnas.errors import CheckpointError
from elasticnas.run import PlainState, Run, drive
from tests.conftest import ROOT


class Counting:
    """Adds random numbers up; ``at`` does something within a step, before it is done."""

    def __init__(self, steps=10, at=None):
        self.steps, self.at, self.step = steps, at or {}, 0
        self.kept = PlainState(sum=0.0)
        self.identity = {"kind": "counting"}

    @property
    def done(self):
        return self.step >= self.steps

    def advance(self):
        drawn = float(torch.rand(())) + random.random()
        self.at.get(self.step + 1, lambda: None)()
        self.kept["sum"] += drawn
        self.step += 1
        return {"sum": self.kept["sum"], "note": "text", "list": [1], "even": self.step % 2 == 0}

    def parts(self):
        return {"kept": self.kept}


def seeded(work, run=None, checkpoint_every=4):
    torch.manual_seed(1)
    random.seed(1)
    return drive(work, run or Run(), "count", checkpoint_every)


def kept_step(folder):
    with Run(folder, resume=True) as run:
        return run.load({"kind": "counting"})["step"]


class Stop(Exception):
    pass


def stop():
    raise Stop


def test_a_checkpoint_is_there_every_so_many_steps_and_at_the_end(tmp_path):
    found = {}
    for end in range(1, 11):
        folder = tmp_path / str(end)
        with pytest.raises(Stop):
            seeded(Counting(at={end: stop}), Run(folder))
        found[end] = kept_step(folder) if (folder / "checkpoint").exists() else None
    assert found == {1: None, 2: None, 3: None, 4: None, 5: 4, 6: 4, 7: 4, 8: 4, 9: 8, 10: 8}
    seeded(Counting(), Run(tmp_path / "whole"))
    assert kept_step(tmp_path / "whole") == 10


@pytest.mark.parametrize("end", [2, 5, 9])
def test_what_goes_on_draws_what_it_would_have_drawn(end, tmp_path):
    whole = Counting()
    seeded(whole, Run(tmp_path / "whole"))
    with pytest.raises(Stop):
        seeded(Counting(at={end: stop}), Run(tmp_path / "run"))
    resumed = Counting()
    seeded(resumed, Run(tmp_path / "run", resume=True))
    assert resumed.kept == whole.kept and resumed.step == 10
    files = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "run")]
    assert files[0] == files[1] and [json.loads(line)["step"] for line in files[0].splitlines()] == [*range(1, 11)]


def test_work_that_is_done_is_not_done_again(tmp_path):
    seeded(Counting(), Run(tmp_path))
    again = Counting(at=dict.fromkeys(range(20), stop))
    seeded(again, Run(tmp_path, resume=True))
    assert again.step == 10


def test_progress_has_the_numbers_of_each_step():
    seen, work = [], Counting(at=dict.fromkeys(range(1, 11), lambda: time.sleep(0.002)))
    seeded(work, Run(progress=seen.append))
    assert [(p.stage, p.step, p.steps) for p in seen] == [("count", step, 10) for step in range(1, 11)]
    assert all(p.figures.keys() == {"sum", "even"} for p in seen) and seen[-1].figures["sum"] == work.kept["sum"]
    assert seen[-1].seconds_left == 0.0 and all(p.seconds_left > 0 for p in seen[:-1])


def test_seconds_are_those_of_all_sittings(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def tick():
        clock[0] += 1.0

    def tick_and_stop():
        tick()
        stop()

    every = dict.fromkeys(range(1, 11), tick)
    with pytest.raises(Stop):
        seeded(Counting(at={**every, 6: tick_and_stop}), Run(tmp_path))
    clock[0] += 1000.0
    seen = []
    # four kept, two lost, and six again
    assert seeded(Counting(at=every), Run(tmp_path, resume=True, progress=seen.append)) == 10.0
    assert [p.seconds_left for p in seen] == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]


def press():
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_takes_effect_after_its_step_with_a_checkpoint(tmp_path):
    work = Counting(at={6: press})
    with pytest.raises(KeyboardInterrupt):
        seeded(work, Run(tmp_path))
    assert work.step == kept_step(tmp_path) == 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    whole, resumed = Counting(), Counting()
    seeded(whole)
    seeded(resumed, Run(tmp_path, resume=True))
    assert resumed.kept == whole.kept


def test_an_interrupt_while_nothing_is_left_to_do_is_not_lost(tmp_path):
    seeded(Counting(), Run(tmp_path))

    class Pressed(PlainState):
        def load_state_dict(self, state):
            press()

    work = Counting()
    work.kept = Pressed()
    with pytest.raises(KeyboardInterrupt):
        seeded(work, Run(tmp_path, resume=True))


def test_the_second_interrupt_takes_effect_at_once(tmp_path):
    work = Counting(at={6: lambda: (press(), press(), stop())})
    with pytest.raises(KeyboardInterrupt):
        seeded(work, Run(tmp_path))
    assert work.step == 5 and kept_step(tmp_path) == 4
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_callers_own_is_left_alone():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        handler, work = signal.getsignal(signal.SIGINT), Counting(at={3: press})
        seeded(work)
        assert work.step == 10 and pressed == [1] and signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_work_in_another_thread_touches_no_signal():
    work = Counting()
    thread = threading.Thread(target=seeded, args=(work,))
    thread.start()
    thread.join(timeout=300)
    assert work.step == 10


TRAINING = """
import sys, time
sys.path.insert(0, sys.argv[1])
from typing import Literal
import torch, elasticnas, elasticnas.nn as enn
from elasticnas.run import Run
from elasticnas.search import Problem, SupernetTrainer, TrainerSettings

class Width(elasticnas.Space):
    inner: Literal[8, 4]

def loss(model, x):
    if resume == "no":
        print("in a step", flush=True)
        time.sleep(float(sys.argv[4]))
    return model(x).square().mean()

resume = sys.argv[3]
torch.manual_seed(0)
model = enn.FeedForward(4, Width.axes().inner)
trainer = SupernetTrainer(
    Problem(model, loss, [torch.ones(2, 4)]), TrainerSettings(steps=6, rule="single", checkpoint_every=100)
)
result = trainer.run(Run(sys.argv[2], resume=resume == "yes"))
print(result.steps, sum(float(p.sum()) for p in model.parameters()))
"""


def training(folder, resume, seconds=0.0):
    command = [sys.executable, "-c", TRAINING, str(ROOT), str(folder), resume, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)


def finished(process):
    out, err = process.communicate(timeout=300)
    return out.splitlines(), err


def test_ctrl_c_in_a_training_ends_it_after_the_step_and_it_goes_on(tmp_path):
    whole, _ = finished(training(tmp_path / "whole", "whole"))
    process = training(tmp_path / "run", "no", seconds=0.5)
    assert process.stdout.readline() == "in a step\n"
    process.send_signal(signal.SIGINT)
    out, err = finished(process)
    assert err.rstrip().endswith("KeyboardInterrupt") and process.returncode != 0
    assert out == [] and (tmp_path / "run" / "checkpoint").exists(), "the step is done, and no other was begun"
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1
    assert finished(training(tmp_path / "run", "yes"))[0] == whole and whole[0].startswith("6 ")


def test_a_second_ctrl_c_ends_a_training_within_its_step(tmp_path):
    process = training(tmp_path / "run", "no", seconds=100.0)
    assert process.stdout.readline() == "in a step\n"
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)  # two at the same time are one
    out, err = finished(process)
    assert err.rstrip().endswith("KeyboardInterrupt") and out == []
    assert not (tmp_path / "run" / "checkpoint").exists()


@pytest.mark.parametrize(
    ("spoiled", "metrics"),
    [
        (None, 0),
        ([], 0),
        ({}, 0),
        ({"step": "x"}, 0),
        ({"parts": None}, 0),
        ({"parts": {"kept": {}}}, 0),
        ({"parts": {"kept": 3}}, 0),
        ({"random": {}}, 0),
        ({"random": {"torch": torch.zeros(1)}}, 0),
        ({"seconds": None}, 0),
        (True, None),
        (True, -1),
    ],
)
def test_a_checkpoint_with_a_right_checksum_and_a_wrong_state_is_one_line(tmp_path, spoiled, metrics):
    with pytest.raises(Stop):
        seeded(Counting(at={6: stop}), Run(tmp_path))
    identity = {"work": {"kind": "counting"}, "caller": {}}
    state, _ = load_checkpoint(tmp_path / "checkpoint", identity)
    whole = state["state"]
    assert whole["step"] == 4
    given = whole | spoiled if isinstance(spoiled, dict) and spoiled else whole if spoiled is True else spoiled
    save_checkpoint(tmp_path / "checkpoint", {"state": given, "metrics": metrics}, identity)
    with pytest.raises(CheckpointError, match=r"checkpoint: damaged \(.*\); delete it to start again$") as raised:
        seeded(Counting(), Run(tmp_path, resume=True))
    assert "\n" not in str(raised.value)
