"""A training step of the supernet over one of the plain largest network, in float32 and bf16."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from speed.step import Step

from easrec.config import TrainConfig
from easrec.data import Batch
from easrec.losses import BatchLoss
from easrec.model import build, supernet
from elasticnas import axes_of
from elasticnas.report import peak_memory, reset_peak_memory
from gpu_parts.scale import Scale
from gpu_parts.timing import ids, milliseconds, ratios

__all__ = ["SHARE", "TITLE", "measure"]

TITLE = "A training step of the supernet over the plain largest network"
SHARE = 0.2


def measure(record: Any, device: str, scale: Scale) -> None:
    """Time forward, softmax loss, backward and Adam: plain, sliced at the largest and the middle, masked, relaxed."""
    for bf16 in (False, True):
        name = "bf16" if bf16 else "float32"
        forms = _forms(device, scale, bf16)
        reset_peak_memory(torch.device(device))
        times = milliseconds(forms, device, scale.rounds)
        record(**{name: ratios(times, "plain"), f"{name} peak_bytes": peak_memory(torch.device(device))})


def _forms(device: str, scale: Scale, bf16: bool) -> dict[str, Callable[[], None]]:
    config = scale.model.model_copy(update={"mixing": "mask"})
    inputs = ids(scale.items, scale.batch, config.length, device)
    batch = _batch(inputs)
    loss = BatchLoss(TrainConfig(precision="bfloat16" if bf16 else "float32"), np.ones(scale.items + 1, dtype=np.int64))
    model = supernet(config, scale.items, True).to(device)
    axes = axes_of(model)
    largest = axes.space.largest()
    middle = axes.space(candidate=1, depth=max(1, config.layers // 2))
    even = {name: torch.full((len(o),), 1 / len(o), device=device) for name, o in axes.space.choices().items()}
    plain = build(config, scale.items, largest, True).to(device)
    return {
        "plain": Step(plain, loss, batch),
        "sliced, largest": Step(model, loss, batch, partial(axes.at, largest)),
        "sliced, middle": Step(model, loss, batch, partial(axes.at, middle)),
        "masked, middle": Step(model, loss, batch, partial(axes.masked, middle)),
        "relaxed": Step(model, loss, batch, partial(axes.relaxed, even)),
    }


def _batch(inputs: torch.Tensor) -> Batch:
    return Batch(inputs, inputs.roll(-1, 1))
