"""Long sequences: LinRec against softmax attention, and a training step at 20,000 positions."""

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
from speed.measured import Measured, Row, medians
from speed.own_process import in_own_process
from speed.scale import Scale
from speed.step import Step
from speed.turns import in_turns

__all__ = ["TEXT", "TITLE", "attention", "measure", "training_step"]

TITLE = "Long sequences"
TEXT = (
    "Causal attention alone, forward and backward, one sequence: softmax by torch's fused "
    "`scaled_dot_product_attention` over LinRec. *Time per position*: LinRec at the longest over LinRec at the second "
    "shortest; 1 is linear in N. The training step is of a whole LinRec network: 2 layers, d = 64, gates, loss and "
    "Adam; its memory is the rise of the resident set in a process of its own."
)
_LINEAR, _STEP = 1.5, 8 * 2**30
_TOO_LONG_S = 60.0

Kind = Literal["linrec", "softmax"]


def measure(scale: Scale) -> Measured:
    """Every length; softmax is left out from where it is foreseen to take over a minute."""
    found, linrec, softmax_s = Measured(), {}, 0.0
    for number, length in enumerate(scale.lengths):
        kinds: list[Kind] = ["linrec", "softmax"]
        foreseen = softmax_s * (length / scale.lengths[number - 1]) ** 2 if number else 0.0
        if foreseen > _TOO_LONG_S:
            kinds = ["linrec"]
            found.remarks.append(f"N = {length:,}: softmax left out, extrapolated {foreseen:.0f} s, as N^2")
        times = in_turns({kind: attention(scale, kind, length) for kind in kinds}, scale.rounds, scale.limit_s / 4)
        figures, linrec[length] = medians(times, f"N = {length:,}, "), times["linrec"]
        for kind, figure in zip(kinds, figures, strict=True):
            used = in_own_process("speed.long_sequences:attention", scale, kind=kind, length=length)
            figure["memory_mib"] = used["memory_bytes"] / 2**20
        found.figures += figures
        if "softmax" in times:
            softmax_s = float(np.median(times["softmax"]))
            name, values = f"softmax / LinRec, N = {length:,}", ratio(times["softmax"], times["linrec"])
            found.rows.append(Row(name, *values, rounds=len(times["linrec"])))
    _linear(found, linrec)
    used = in_own_process("speed.long_sequences:training_step", scale)
    longest, name = scale.lengths[-1], "memory of a training step"
    found.rows.append(Row.counted(f"{name}, N = {longest:,}", used["memory_bytes"], _STEP, unit="bytes"))
    found.figures.append({"form": f"training step, N = {longest:,}", "ms": 1000 * used["seconds"], "rounds": 1})
    return found


def _linear(found: Measured, times: dict[int, list[float]]) -> None:
    """The shortest sequence is left out: there calls cost more than work."""
    _, first, *_, longest = times
    rounds = min(len(times[first]), len(times[longest]))
    values = interval(
        lambda long, short: (long / longest) / (short / first), times[longest][:rounds], times[first][:rounds]
    )
    name = f"LinRec's time per position, N = {longest:,} / N = {first:,}"
    found.rows.append(Row(name, *values, _LINEAR, rounds=rounds))


def attention(scale: Scale, kind: Kind, length: int) -> Callable[[], None]:
    """Forward and backward of one attention over one sequence."""
    module = enn.Attention(scale.hidden, scale.heads, scale.hidden // scale.heads, kind=kind, causal=True)
    x = torch.randn(1, length, scale.hidden, requires_grad=True)

    def run() -> None:
        module.zero_grad(set_to_none=True)
        x.grad = None
        module(x).sum().backward()

    return run


def training_step(scale: Scale) -> Step:
    """One sequence of the longest length."""
    half, longest = scale.hidden // 2, scale.lengths[-1]
    sizes: dict[str, Any] = {"hidden": half, "inner": 2 * half, "layers": 2, "length": longest, "attention": "linrec"}
    config = scale.config(**sizes)
    network = build(config, scale.items, space_for(config).largest(), True)
    draw = partial(torch.randint, 1, scale.items + 1, (1, longest))
    return Step(network, BatchLoss(TrainConfig(), np.ones(scale.items + 1, dtype=np.int64)), Batch(draw(), draw()))
