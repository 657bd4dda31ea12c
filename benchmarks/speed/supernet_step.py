"""A training step of the supernet relative to one of the largest network."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import torch
from interval import interval, ratio
from torch import Tensor

from easrec.config import Config
from easrec.losses import BatchLoss
from easrec.model import EASRecModel, build, supernet
from elasticnas import axes_of
from speed.alternate import time_alternately
from speed.interactions import split, typical_batch
from speed.measured import Measured, Row, medians
from speed.scale import Scale
from speed.step import Step, flops

__all__ = ["TEXT", "TITLE", "measure"]

TITLE = "Training step of the supernet"
TEXT = (
    "Time of forward, softmax loss over all items, backward and Adam on one batch, relative to the plain largest "
    "network. *Soft masks*: one full-size pass for all candidates. *Mixed by block*: every candidate sliced, in every "
    "layer. *Full-size masks*: every candidate with 0/1 masks at full size, without slicing or a shared pass. *One "
    "path*: one architecture sliced, mean over the whole space. *FLOPs*: the same ratio of FLOPs, counted in the step "
    "itself, including the loss."
)
_TARGETS = {"soft masks": 1.05, "mixed by block": 1.9, "full-size masks": None}
_PATH = 0.70


def measure(scale: Scale) -> Measured:
    """Measure without gates, and with the gates of the preset."""
    found = Measured()
    for gates in (0, 2):
        _compare(found, scale, gates)
    return found


def _compare(found: Measured, scale: Scale, gates: int) -> None:
    data, config = split(scale), Config(model=scale.config(gate_layers=gates))
    batch = typical_batch(data, config, scale.batch)
    loss = BatchLoss(config.train, data.training.counts(data.items))
    masked = supernet(scale.config(gate_layers=gates, mixing="mask"), data.items, True)
    blocks = supernet(config.model, data.items, True)
    space = axes_of(masked).space
    plain = build(config.model, data.items, space.largest(), True)
    steps = {
        "plain": Step(plain, loss, batch),
        "soft masks": Step(masked, loss, batch, _uniform(masked)),
        "mixed by block": Step(blocks, loss, batch, _uniform(blocks)),
        "full-size masks": Step(masked, loss, batch, runs=_EveryCandidate(masked)),
    }
    at = axes_of(masked).at
    paths = {
        f"candidate {arch.candidate}, {arch.depth} layers": Step(masked, loss, batch, partial(at, arch))
        for arch in space.enumerate()
    }
    counted = {name: flops(step) for name, step in (steps | paths).items()}
    times = time_alternately(steps | paths, scale.rounds, scale.limit_s)
    label, rounds = f"{gates} gate layers" if gates else "no gates", len(times["plain"])
    for name, target in _TARGETS.items():
        bound = counted[name] / counted["plain"]
        found.rows.append(
            Row(f"{name}, {label}", *ratio(times[name], times["plain"]), target, bound=bound, rounds=rounds)
        )
    bound = sum(counted[name] for name in paths) / len(paths) / counted["plain"]
    path = interval(lambda whole, *each: np.mean(each, axis=0) / whole, times["plain"], *(times[p] for p in paths))
    found.rows.append(Row(f"one path, {label}", *path, _PATH, bound=bound, rounds=rounds))
    found.figures += medians(times, f"{label}: ")


def _uniform(model: EASRecModel) -> Callable[[], AbstractContextManager[Any]]:
    """Return a scope in which all options are equally probable."""
    axes = axes_of(model)
    uniform = {name: torch.full((len(options),), 1 / len(options)) for name, options in axes.space.choices().items()}
    return partial(axes.relaxed, uniform)


class _EveryCandidate:
    """Mean output of all candidates, each with masks at full size."""

    def __init__(self, model: EASRecModel) -> None:
        self.model, self.items = model.train(), model.items
        self.cosine_temperature = model.cosine_temperature

    def __call__(self, inputs: Tensor, row: Tensor | None = None) -> Tensor:
        axes = axes_of(self.model)
        deepest = [arch for arch in axes.space.enumerate() if arch.depth == axes.space.largest().depth]
        total = torch.zeros(())
        for arch in deepest:
            with axes.masked(arch):
                total = total + self.model(inputs, row) / len(deepest)
        return total
