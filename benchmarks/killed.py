"""Workloads that ``kills.py`` kills: each returns its figures, and resumes when it is called again."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch
from killing import watch
from torch import Tensor, nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.cli import main
from elasticnas.cost import Flops
from elasticnas.run import Run
from elasticnas.search import (
    SPOS,
    DynamicConstraint,
    Evolve,
    Problem,
    SearchSettings,
    SupernetTrainer,
    TrainerSettings,
)
from elasticnas.study import Study, StudySettings

__all__ = ["WORKLOADS", "child"]

_CLOCKS = ("created", "environment", "command", "peak_memory_bytes")


class Sizes(Space):
    """Search space of twelve architectures."""

    hidden: Literal[16, 12, 8, 4]
    depth: Literal[3, 2, 1]


class Net(nn.Module):
    """A classifier, ``(B, 4) -> (B, 3)``."""

    def __init__(self, sizes: Any) -> None:
        super().__init__()
        self.inp = enn.Linear(4, sizes.hidden)
        self.blocks = enn.Stack([enn.FeedForward(sizes.hidden, 8, dropout=0.2) for _ in range(3)], sizes.depth)
        self.out = enn.Linear(sizes.hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.blocks(torch.relu(self.inp(x))))  # type: ignore[no-any-return]


def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    x = torch.randn(5, 32, 4, generator=torch.Generator().manual_seed(epoch))
    yield from zip(x, (x.prod(-1) > 0).long() + (x[..., 0] > 1).long(), strict=True)


def loss(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(network(batch[0]), batch[1])


def nats(split: int) -> Callable[[nn.Module], dict[str, float]]:
    return lambda network: {"nats": sum(float(loss(network, batch)) for batch in batches(split)) / 5}


def problem() -> Problem:
    torch.manual_seed(0)
    model = Net(Sizes.axes())
    return Problem(
        model,
        loss=loss,
        train=batches,
        held_out=lambda epoch: batches(500 + epoch),
        costs={"flops": Flops(model, torch.zeros(1, 4))},
        evaluate=nats(1001),
        metric="nats",
        direction="minimise",
        predict=lambda network, batch: network(batch[0]),
    )


def supernet(folder: Path) -> Any:
    searched = problem()
    settings = TrainerSettings(steps=12, checkpoint_every=2, validate_every=4)
    result = SupernetTrainer(searched, settings).run(Run(folder, resume=True))
    weights = b"".join(value.numpy().tobytes() for value in searched.model.state_dict().values())
    return {"history": result.history, "validations": result.validations, "weights": sha256(weights).hexdigest()}


def gradients(folder: Path) -> Any:
    settings = SearchSettings(steps=16, update_every=2, evaluate_every=4, checkpoint_every=3)
    return DynamicConstraint().search(problem(), settings, Run(folder, resume=True)).to_dict()


def evolution(folder: Path) -> Any:
    return Evolve("nsga2", trials=8, population=3).search(problem(), run=Run(folder, resume=True)).to_dict()


def journal(folder: Path) -> Any:
    """Search with a relative path to the journal, and without a Run."""
    return Evolve("local", trials=8, population=3, storage=f"{folder.name}/search.journal").search(problem()).to_dict()


def shared(folder: Path) -> Any:
    """Return the number of evaluations and of wrong ones: NSGA-II in a journal draws differently after a kill."""
    searched = problem()
    strategy = Evolve("nsga2", trials=8, population=3, storage=f"{folder.name}/search.journal")
    found = strategy.search(searched)
    reference = Evolve("random", trials=12, population=3).search(searched)
    metrics = {candidate.architecture: candidate.metrics for candidate in reference.tried}
    tried = {candidate.architecture: candidate.metrics for candidate in found.tried}
    wrong = sum(metrics[arch] != values for arch, values in tried.items())
    random = [candidate.model_dump(mode="json") for candidate in found.random_tried]
    return {"tried": len(tried), "wrong": wrong, "random": random}


def spos(folder: Path) -> Any:
    settings = SearchSettings(steps=8, random_architectures=6, checkpoint_every=2)
    return SPOS(population=3).search(problem(), settings, Run(folder, resume=True)).to_dict()


def study(folder: Path) -> Any:
    settings = StudySettings(steps=6, tune_steps=3, trials=4, population=3, checkpoint_every=2, shares=(0.5,))

    def scaled(factor: float) -> Any:
        return SimpleNamespace(hidden=max(1, round(16 * factor)), depth=3)

    instance = Study(problem(), Net, scaled, nats(1002), torch.zeros(1, 4), settings)
    return instance.run(Run(folder, resume=True)).to_dict()


def easrec(folder: Path) -> Any:
    changes = "model.hidden=8 model.inner=8 model.length=8 model.layers=1 search.epochs=1 search.batch=512"
    changes += " train.epochs=1 train.batch=512 search.random_architectures=2 checkpoint_steps=2 negatives=20"
    sys.argv = ["elasticnas", "easrec", "run", "--preset", "demo", "--out", str(folder), "--resume", "--threads", "1"]
    sys.argv += [part for change in changes.split() for part in ("--set", change)]
    try:
        main()
    except SystemExit as done:
        assert not done.code, done.code
    return json.loads((folder / "result.json").read_text())


WORKLOADS: dict[str, Callable[[Path], Any]] = {
    "SupernetTrainer": supernet,
    "DynamicConstraint": gradients,
    "Evolve, NSGA-II": evolution,
    "Evolve, local, in a journal": journal,
    "Evolve, NSGA-II, in a journal": shared,
    "SPOS": spos,
    "Study": study,
    "easrec run": easrec,
}


def child(kind: str, folder: Path, log: Path, kill_at: int | None) -> None:
    """Run a workload and write its figures as JSON next to its folder, or be killed in one of its writes.

    Args:
        kind: Name of a workload.
        folder: Folder of its run.
        log: File for `killing.watch`.
        kill_at: Argument of `killing.watch`.
    """
    torch.set_num_threads(1)
    os.chdir(folder.parent)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        watch(folder, log, kill_at)
        figures = WORKLOADS[kind](folder)
    folder.with_suffix(".json").write_text(json.dumps(_without_clocks(figures)))


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        clocks = {name for name in value if name in _CLOCKS or "seconds" in name or "latency" in name}
        return {name: _without_clocks(item) for name, item in value.items() if name not in clocks}
    return [_without_clocks(item) for item in value] if isinstance(value, (list, tuple)) else value
