"""Long sequences: softmax attention relative to LinRec, and a training step at 20,000 positions."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from interval import interval, ratio

import elasticnas.nn as enn
from easrec.config import TrainConfig
from easrec.data import Batch
from easrec.losses import BatchLoss
from easrec.model import build
from easrec.space import space_for
from speed.alternate import time_alternately
from speed.measured import Measured, Row, medians
from speed.scale import Scale
from speed.separate_process import in_separate_process
from speed.step import Step

__all__ = ["TEXT", "TITLE", "attention", "measure", "training_step"]

TITLE = "Long sequences"
TEXT = (
    "Causal attention only, forward and backward, one sequence: time of softmax (torch's fused "
    "`scaled_dot_product_attention`) relative to LinRec. *Time per position*: LinRec at the longest length relative to "
    "the second shortest; 1 is linear in N. The training step is of a complete LinRec network: 2 layers, d = 64, "
    "gates, loss and Adam; its memory is the increase of the resident set in a separate process."
)
_LINEAR, _STEP = 1.5, 8 * 2**30
_TOO_LONG_S = 60.0

Kind = Literal["linrec", "softmax"]


def measure(scale: Scale) -> Measured:
    """Measure every length; softmax is omitted when it is expected to take over a minute."""
    found, linrec, softmax_s = Measured(), {}, 0.0
    for number, length in enumerate(scale.lengths):
        kinds: list[Kind] = ["linrec", "softmax"]
        expected = softmax_s * (length / scale.lengths[number - 1]) ** 2 if number else 0.0
        if expected > _TOO_LONG_S:
            kinds = ["linrec"]
            found.remarks.append(f"N = {length:,}: softmax omitted, {expected:.0f} s extrapolated as N^2")
        times = time_alternately(
            {kind: attention(scale, kind, length) for kind in kinds}, scale.rounds, scale.limit_s / 4
        )
        figures, linrec[length] = medians(times, f"N = {length:,}, "), times["linrec"]
        for kind, figure in zip(kinds, figures, strict=True):
            used = in_separate_process("speed.long_sequences:attention", scale, kind=kind, length=length)
            figure["memory_mib"] = used["memory_bytes"] / 2**20
        found.figures += figures
        if "softmax" in times:
            softmax_s = float(np.median(times["softmax"]))
            name, values = f"softmax / LinRec, N = {length:,}", ratio(times["softmax"], times["linrec"])
            found.rows.append(Row(name, *values, rounds=len(times["linrec"])))
    _linear(found, linrec)
    used = in_separate_process("speed.long_sequences:training_step", scale)
    longest, name = scale.lengths[-1], "memory of a training step"
    found.rows.append(Row.counted(f"{name}, N = {longest:,}", used["memory_bytes"], _STEP, unit="bytes"))
    found.figures.append({"form": f"training step, N = {longest:,}", "ms": 1000 * used["seconds"], "rounds": 1})
    return found


def _linear(found: Measured, times: dict[int, list[float]]) -> None:
    """Compare the longest with the second shortest sequence; in the shortest, call overhead dominates."""
    _, first, *_, longest = times
    rounds = min(len(times[first]), len(times[longest]))
    values = interval(
        lambda long, short: (long / longest) / (short / first), times[longest][:rounds], times[first][:rounds]
    )
    name = f"LinRec's time per position, N = {longest:,} / N = {first:,}"
    found.rows.append(Row(name, *values, _LINEAR, rounds=rounds))


def attention(scale: Scale, kind: Kind, length: int) -> Callable[[], None]:
    """Return a function that runs forward and backward of one attention on one sequence."""
    module = enn.Attention(scale.hidden, scale.heads, scale.hidden // scale.heads, kind=kind, causal=True)
    x = torch.randn(1, length, scale.hidden, requires_grad=True)

    def run() -> None:
        module.zero_grad(set_to_none=True)
        x.grad = None
        module(x).sum().backward()

    return run


def training_step(scale: Scale) -> Step:
    """Return a training step on one sequence of the longest length."""
    half, longest = scale.hidden // 2, scale.lengths[-1]
    sizes: dict[str, Any] = {"hidden": half, "inner": 2 * half, "layers": 2, "length": longest, "attention": "linrec"}
    config = scale.config(**sizes)
    network = build(config, scale.items, space_for(config).largest(), True)
    draw = partial(torch.randint, 1, scale.items + 1, (1, longest))
    return Step(network, BatchLoss(TrainConfig(), np.ones(scale.items + 1, dtype=np.int64)), Batch(draw(), draw()))
