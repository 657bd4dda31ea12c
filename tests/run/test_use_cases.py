"""Long work as users keep it: stopped anywhere, moved, copied, damaged, without room, in threads; equal in the end."""

import json
import os
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

import elasticnas.nn as enn
from elasticnas import Space, elastify
from elasticnas.cost import Flops
from elasticnas.errors import CheckpointError, ElasticNASError
from elasticnas.run import Run
from elasticnas.search import (
    DARTS,
    SPOS,
    BilevelSearcher,
    DynamicConstraint,
    Evolve,
    Problem,
    ProxylessNAS,
    RandomSearch,
    RecNAS,
    Reinforce,
    ScoreOptions,
    SearchSettings,
    SupernetTrainer,
    TrainerSettings,
)

pytestmark = pytest.mark.filterwarnings("ignore")

FIXED = DynamicConstraint(depth=None, penalty="fixed")
STRATEGIES = [DARTS(), ProxylessNAS(), RecNAS(), FIXED, Reinforce(), SPOS(4), RandomSearch(), ScoreOptions(2, 2)]
SHORT = SearchSettings(steps=4, update_every=2, random_architectures=2, evaluate_every=2, checkpoint_every=1)


class Sizes(Space):
    hidden: Literal[8, 4]
    depth: Literal[2, 1]


class Net(nn.Module):
    def __init__(self, sizes, dropout=0.5):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(dropout))
        self.blocks = enn.Stack([enn.FeedForward(6, sizes.hidden) for _ in range(2)], sizes.depth)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.blocks(self.first(x)))


def listed(epoch):
    x = torch.randn(3, 8, 6, generator=torch.Generator().manual_seed(epoch))
    return [{"x": x, "y": (x.prod(-1) > 0).long()} for x in x]


class Rows(Dataset):
    """Random noise on every access, as augmentation is."""

    def __len__(self):
        return 24

    def __getitem__(self, row):
        x = torch.randn(6, generator=torch.Generator().manual_seed(row)) + 0.1 * torch.rand(6)
        return {"x": x, "y": (x.prod() > 0).long()}


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield {"x": (x := torch.randn(6)), "y": (x.prod() > 0).long()}


SOURCES = {
    "function": lambda: listed,
    "generator": lambda: lambda epoch: ({"x": torch.randn(4, 6), "y": torch.randint(2, (4,))} for _ in range(3)),
    "one": lambda: listed(0)[:1],
    "shuffled": lambda: DataLoader(Rows(), 8, shuffle=True),
    "workers": lambda: DataLoader(Rows(), 12, shuffle=True, num_workers=2),
    "endless": lambda: DataLoader(Endless(), 8),
}


def noisy(model, batch):
    return nn.functional.cross_entropy(model(batch["x"] + 0.1 * torch.randn_like(batch["x"])), batch["y"])


def problem(source=lambda: listed, model=None):
    torch.manual_seed(0)
    model = Net(Sizes.axes()) if model is None else model()
    return Problem(model, noisy, source(), listed, {"flops": Flops(model, torch.zeros(1, 6))})


def metered(evaluate):
    return replace(problem(), evaluate=evaluate, metric="m", direction="maximise")


def state(problem):
    return {name: value.tolist() for name, value in problem.model.state_dict().items()}


def figures(result):
    return result.model_dump(exclude={"seconds", "latency"})


class Stop(Exception):
    pass


def stop_at(count):
    """Progress that ends the sitting at this call."""
    calls = iter(range(1, count))

    def progress(_):
        if next(calls, None) is None:
            raise Stop

    return progress


def sittings(work, folder, count):
    with suppress(Stop):
        work(Run(folder, progress=stop_at(count)))
    return work(Run(folder, resume=True))


def searched(strategy, make=problem, settings=SHORT):
    def work(run):
        made = make()
        return figures(strategy.search(made, settings, run)), state(made)

    return work


def lines(folder):
    records = [json.loads(line) for file in sorted(folder.rglob("metrics.jsonl")) for line in file.open()]
    return [{name: value for name, value in record.items() if "seconds" not in name} for record in records]


def same_wherever_stopped(work, folder, counts=None):
    want = work(Run(folder / "whole"))
    for count in counts or range(1, len(lines(folder / "whole")) + 1):
        assert sittings(work, folder / str(count), count) == want, f"stopped at {count}"
        assert lines(folder / str(count)) == lines(folder / "whole")


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_a_search_stopped_anywhere(strategy, tmp_path):
    settings = SHORT.model_copy(update={"checkpoint_every": 3})
    same_wherever_stopped(searched(strategy, settings=settings), tmp_path)


def groups(weights):
    return torch.optim.SGD([{"params": weights[:2], "lr": 0.1}, {"params": weights[2:]}], lr=0.01, momentum=0.9)


def tensor_rate(weights):
    return torch.optim.Adam(weights, lr=torch.tensor(0.01))


@pytest.mark.parametrize(
    ("source", "make"),
    [(source, groups) for source in SOURCES]
    + [("shuffled", make) for make in (torch.optim.AdamW, torch.optim.Rprop, tensor_rate)],
)
def test_a_training_on_batches_of_any_kind_by_any_optimizer(source, make, tmp_path):
    def work(run):
        made = problem(SOURCES[source])
        settings = TrainerSettings(steps=4, checkpoint_every=1, validate_every=2, accumulate=2, schedule="cosine")
        result = SupernetTrainer(made, settings, optimizer=make).run(run)
        return result.history, result.validations, state(made)

    same_wherever_stopped(work, tmp_path, (1, 3))


def test_a_search_by_an_optimizer_of_ones_own(tmp_path):
    def work(run):
        made = problem(SOURCES["shuffled"])
        return figures(BilevelSearcher(made, SHORT, optimizer=groups).run(run)), state(made)

    same_wherever_stopped(work, tmp_path)


@pytest.mark.parametrize("strategy", [DARTS(), SPOS(4), Evolve("local", 4, 2)], ids=lambda s: s.name)
def test_evaluations_that_always_fail_somewhere(strategy, tmp_path):
    def evaluate(model):
        ran, layers = [], [layer for layer in model.modules() if isinstance(layer, enn.FeedForward)]
        hooks = [layer.register_forward_hook(lambda *_: ran.append(1)) for layer in layers]
        value = float(model(torch.ones(1, 6)).sum())
        for hook in hooks:
            hook.remove()
        if len(ran) == 1:
            raise RuntimeError("one layer")
        return {"m": value}

    def work(run):
        result = strategy.search(metered(evaluate), SHORT.model_copy(update={"retries": 2}), run)
        assert all((f.message, f.attempts) == ("RuntimeError: one layer", 3) for f in result.failures)
        return figures(result)

    same_wherever_stopped(work, tmp_path)


def test_batch_norm_calibrated_for_every_sub_network(tmp_path):
    x = torch.randn(32, 6, generator=torch.Generator().manual_seed(1))

    def evaluate(model):
        model.first[1].reset_running_stats()
        model.first[1].train()
        model(x)
        return {"m": float(model.eval()(x).sum())}

    work = searched(Evolve(trials=4, population=2), lambda: metered(evaluate))
    same_wherever_stopped(lambda run: work(run)[0], tmp_path)


def test_an_elastified_transformer(tmp_path):
    def build(hidden, depth):
        layer = nn.TransformerEncoderLayer(6, 2, hidden, batch_first=True)
        return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)

    make = lambda: problem(model=lambda: elastify(build, Sizes))  # noqa: E731
    same_wherever_stopped(searched(Reinforce(), make), tmp_path, (1, 2, 4))


def test_a_training_and_a_front_as_parts_of_one_run(tmp_path):
    seen = []

    def work(run):
        made = problem()
        with run:
            SupernetTrainer(made, TrainerSettings(steps=3, checkpoint_every=1)).run(run.part("training", steps=5))
            return figures(Evolve(trials=2, population=2).search(made, run=run.part("front", 3, 5)))

    same_wherever_stopped(work, tmp_path, (1, 3, 4, 5))
    work(Run(progress=seen.append))
    assert [(p.step, p.steps) for p in seen] == [(step, 5) for step in (1, 2, 3, 4, 5)]


def test_a_folder_of_any_name_moved_between_sittings_and_after_the_end(tmp_path):
    work, folder = searched(SPOS(4)), tmp_path / "Läufe 試験 🎈 [a]"
    with pytest.raises(Stop):
        work(Run(folder, progress=stop_at(3)))
    folder.rename(tmp_path / "second")
    want = work(Run(tmp_path / "second", resume=True))
    (tmp_path / "second").rename(folder)
    assert work(Run(folder, resume=True)) == want == work(Run())


def test_a_folder_is_given_to_two_searches(tmp_path):
    run, work = Run(tmp_path, resume=True), searched(DARTS())
    assert work(run) == work(run)
    for other in (lambda: searched(SPOS(4))(run), lambda: SupernetTrainer(problem()).run(run)):
        with pytest.raises(CheckpointError, match="belongs to another run"):
            other()
    with pytest.raises(CheckpointError, match="holds a run already"):
        work(Run(tmp_path))


HARM = {
    "a copy without hidden files": lambda folder: [file.unlink() for file in folder.rglob(".lock")],
    "half a line": lambda folder: [file.open("a").write('{"step": 9, "lo') for file in folder.rglob("metrics.jsonl")],
    "no metrics": lambda folder: [file.unlink() for file in folder.rglob("metrics.jsonl")],
    "the checkpoint alone": lambda folder: [
        file.unlink() for file in folder.rglob("*") if file.is_file() and file.name != "checkpoint"
    ],
}


@pytest.mark.parametrize("harm", list(HARM))
@pytest.mark.parametrize("strategy", [DARTS(), SPOS(4), Evolve(trials=4, population=2)], ids=lambda s: s.name)
def test_what_a_checkpoint_does_not_need(strategy, harm, tmp_path):
    work = searched(strategy)
    with pytest.raises(Stop):
        work(Run(tmp_path / "a", progress=stop_at(3)))
    HARM[harm](tmp_path / "a")
    assert work(Run(tmp_path / "a", resume=True)) == work(Run())
    assert lines(tmp_path / "a")[-1]


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/none"])
@pytest.mark.parametrize("strategy", [DARTS(), SPOS(4), Evolve(trials=2, population=2)], ids=lambda s: s.name)
def test_where_no_folder_can_be(strategy, folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ElasticNASError, match=f"{folder}: cannot be written, .*; use another folder") as told:
        strategy.search(problem(), SHORT, Run(tmp_path / folder))
    assert "\n" not in str(told.value)


def test_a_disk_that_is_full_at_any_write(tmp_path, monkeypatch):
    work, written = searched(DARTS()), os.fsync
    want = work(Run())
    for count in range(1, 5):
        left = iter(range(1, count))

        def full(file, left=left):
            if next(left, None) is None:
                raise OSError(28, "No space left on device")
            written(file)

        with monkeypatch.context() as patched, pytest.raises(ElasticNASError, match="disk is full; free space"):
            patched.setattr(os, "fsync", full)
            work(Run(tmp_path / str(count)))
        assert work(Run(tmp_path / str(count), resume=True)) == want


@pytest.mark.parametrize("strategy", [DARTS(), SPOS(4)], ids=lambda s: s.name)
def test_metrics_are_whole_lines_whenever_they_are_read(strategy, tmp_path):
    counts = []
    strategy.search(problem(), SHORT, Run(tmp_path, progress=lambda _: counts.append(len(lines(tmp_path)))))
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("strategy", [Reinforce(), RecNAS(), Evolve(trials=4, population=2)], ids=lambda s: s.name)
def test_searches_in_threads_that_draw_nothing(strategy, tmp_path):
    def make():
        made = problem(model=lambda: Net(Sizes.axes(), dropout=0.0))
        return replace(made, loss=lambda model, batch: nn.functional.cross_entropy(model(batch["x"]), batch["y"]))

    made, want, got = [make(), make()], figures(strategy.search(make(), SHORT)), {}

    def work(number):
        got[number] = figures(strategy.search(made[number], SHORT, Run(tmp_path / str(number))))

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {0: want, 1: want}
