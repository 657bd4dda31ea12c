"""Large catalogues: time and memory of a training step and of recommendations."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from interval import ratio
from torch import Tensor, nn

from easrec.artifact import Recommender
from easrec.config import Config, ModelConfig, TrainConfig
from easrec.data import Batch
from easrec.losses import BatchLoss
from easrec.model import EASRecModel, build
from easrec.space import space_for
from speed.alternate import time_alternately
from speed.measured import Measured, Row, medians
from speed.scale import Scale
from speed.separate_process import in_separate_process
from speed.step import Step

__all__ = ["TEXT", "TITLE", "measure", "recommending", "training_step"]

TITLE = "Large catalogues"
TEXT = (
    "A training step of 8 windows, d = 64, 2 layers, with Adam: exact softmax in chunks (`loss=softmax`), sampled "
    "softmax (`loss=sampled`), and cross entropy with all scores at once. Memory: increase of the resident set over "
    "three steps in a separate process, including the network's weights and Adam's state. Top 10 of 256 users: "
    "`Recommender.recommend`."
)
_WINDOWS, _USERS = 8, 256
_AT_ONCE, _TRAINS = 8 * 2**30, 24 * 2**30

Loss = Literal["softmax", "sampled", "at once"]


def measure(scale: Scale) -> Measured:
    """Measure every size of catalogue."""
    found = Measured()
    for items in scale.catalogues:
        _train(found, scale, items)
        _recommend(found, scale, items)
    return found


def _train(found: Measured, scale: Scale, items: int) -> None:
    kinds: list[Loss] = ["softmax", "sampled"]
    # bytes of scores, log-softmax and gradient in float32
    needed = 3 * 4 * _WINDOWS * scale.positions * (items + 1)
    if needed <= _AT_ONCE:
        kinds.append("at once")
    else:
        found.remarks.append(f"{items:,} items: scores at once omitted, because they need {needed / 2**30:.1f} GiB")
    network = _network(scale, items)
    forms = {kind: _step(scale, network, items, kind) for kind in kinds}
    times = time_alternately(forms, scale.rounds, scale.limit_s / 2)
    figures = medians(times, f"{items:,} items, ")
    for kind, figure in zip(kinds, figures, strict=True):
        used = in_separate_process("speed.catalogues:training_step", scale, items=items, kind=kind)["memory_bytes"]
        figure["memory_mib"] = used / 2**20
        target = None if kind == "at once" else _TRAINS
        found.rows.append(Row.counted(f"memory, {items:,} items, {kind}", used, target, unit="bytes"))
    found.figures += figures
    for kind in kinds[1:]:
        name = f"time, {items:,} items, {kind} / softmax in chunks"
        found.rows.append(Row(name, *ratio(times[kind], times["softmax"]), rounds=len(times[kind])))


def _recommend(found: Measured, scale: Scale, items: int) -> None:
    used = in_separate_process("speed.catalogues:recommending", scale, items=items)
    all_scores, name = 4 * _USERS * (items + 1), f"memory, {items:,} items, top 10 of {_USERS} users / all scores"
    found.rows.append(Row.counted(name, used["memory_bytes"] / all_scores))
    label = f"{items:,} items, top 10 of {_USERS} users"
    memory = used["memory_bytes"] / 2**20
    found.figures.append({"form": label, "ms": 1000 * used["seconds"], "rounds": 1, "memory_mib": memory})


def _config(scale: Scale) -> ModelConfig:
    half = scale.hidden // 2
    return scale.config(hidden=half, inner=2 * half, layers=2, length=scale.positions, gate_layers=0)


def _network(scale: Scale, items: int) -> EASRecModel:
    config = _config(scale)
    return build(config, items, space_for(config).largest(), True)


def _step(scale: Scale, network: EASRecModel, items: int, kind: Loss) -> Step:
    loss: Callable[[Any, Batch], Tensor] = _at_once
    if kind != "at once":
        loss = BatchLoss(TrainConfig(loss=kind), np.ones(items + 1, dtype=np.int64))
    draw = partial(torch.randint, 1, items + 1, (_WINDOWS, scale.positions))
    return Step(network, loss, Batch(draw(), draw()))


def _at_once(network: EASRecModel, batch: Batch) -> Tensor:
    return nn.functional.cross_entropy(network.scores(network(batch.inputs)).flatten(0, 1), batch.targets.flatten())


def training_step(scale: Scale, items: int, kind: Loss) -> Callable[[], None]:
    """Return a function that builds a network and trains it for three steps, so that Adam's state exists."""

    def run() -> None:
        step = _step(scale, _network(scale, items), items, kind)
        for _ in range(3):
            step()

    return run


def recommending(scale: Scale, items: int) -> Callable[[], object]:
    """Return a function that recommends ten items to many users."""
    config = Config(model=_config(scale))
    arch = space_for(config.model).largest()
    names = ["", *map(str, range(1, items + 1))]
    recommender = Recommender(_network(scale, items), arch, config, names)
    histories = [list(map(str, row)) for row in torch.randint(1, items + 1, (_USERS, scale.positions)).tolist()]
    return lambda: recommender.recommend(histories, 10)
