"""What inputs are given to: a finished run of an untrained network, and a finished study."""

import math
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import torch
from torch import nn

import elasticnas.nn as enn
from easrec import Recommender
from easrec.data import prepare, read_interactions
from easrec.data.synthetic import planted
from elasticnas import Space
from elasticnas.run import PlainState, Run
from elasticnas.search import Problem
from elasticnas.study import Study, StudySettings
from tests.easrec.runs import untrained_run

__all__ = ["Counting", "World"]

_SMALL = {"hidden": 8, "inner": 8, "length": 4, "layers": 1, "heads": 2, "attention": "linrec"}
_SHORT = StudySettings(steps=2, tune_steps=2, scratch_steps=2, trials=2, population=2, shares=(0.5,))


class _Sizes(Space):
    hidden: Literal[4, 2]


class _Net(nn.Module):
    def __init__(self, sizes: Any) -> None:
        super().__init__()
        self.inp, self.out = enn.Linear(2, sizes.hidden), enn.Linear(sizes.hidden, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.inp(x)))


def _batches(epoch: int) -> list[Any]:
    x = torch.randn(2, 8, 2, generator=torch.Generator().manual_seed(epoch))
    return list(zip(x, (x[..., 0] > 0).long(), strict=True))


def _loss(network: nn.Module, batch: Any) -> torch.Tensor:
    return nn.functional.cross_entropy(network(batch[0]), batch[1])


def _nats(network: nn.Module) -> dict[str, float]:
    return {"nats": sum(float(_loss(network, batch)) for batch in _batches(9)) / 2}


class Counting:
    """Long work that only counts."""

    def __init__(self) -> None:
        self.step, self.steps, self.identity = 0, 4, {"kind": "counting"}
        self.kept = PlainState(sum=0.0, seen=[])

    @property
    def done(self) -> bool:
        return self.step >= self.steps

    def advance(self) -> dict[str, float]:
        self.step, self.kept["sum"] = self.step + 1, self.kept["sum"] + 1.0
        self.kept["seen"] = [*self.kept["seen"], self.step]
        return {"sum": self.kept["sum"]}

    def parts(self) -> dict[str, Any]:
        return {"kept": self.kept}


class World:
    """A folder with what inputs are given to.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        self.run.mkdir()
        planted(users=6, items=12, categories=4, length=6).write(folder / "planted.tsv")
        self.data = prepare(read_interactions(folder / "planted.tsv"))
        untrained_run(self.run, self.data, _SMALL)
        self.recommender = Recommender.load(self.run)
        self.history = self.data.item_ids[1:4]
        self.right = self.recommender.recommend([self.history], 5)

    @cached_property
    def study(self) -> Path:
        """Folder of a finished study."""
        self.studied(self.folder / "study", resume=False)
        return self.folder / "study"

    def studied(self, folder: Path, resume: bool = True) -> dict[str, Any]:
        """Run or resume the study in a folder; return its result without clocks and the machine."""
        torch.manual_seed(0)
        problem = Problem(
            _Net(_Sizes.axes()),
            loss=_loss,
            train=_batches,
            evaluate=_nats,
            metric="nats",
            direction="minimise",
            predict=lambda network, batch: network(batch[0]),
        )

        def scaled(factor: float) -> Any:
            return (
                _Sizes.largest() if factor == 1.0 else type("Scaled", (), {"hidden": max(1, math.ceil(4 * factor))})()
            )

        made = Study(problem, _Net, scaled, _nats, torch.zeros(1, 2), _SHORT, name="fuzz")
        run = Run(folder, resume=resume, progress=None)
        # pictures and pages are not read again
        with patch("elasticnas.study.result.draw"), patch("elasticnas.study.study.try_report"):
            found = made.run(run).to_dict()
        for name in ("created", "environment"):
            del found[name]
        for part in (found["supernet"], found["search"], *found["rows"]):
            del part["seconds"]
        return found

    @cached_property
    def result(self) -> dict[str, Any]:
        """The result of the finished study."""
        return self.studied(self.study)
