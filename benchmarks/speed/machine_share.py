"""Share of the machine's peak that a training step reaches, in float32 and bfloat16."""

from collections.abc import Callable

import torch
from interval import interval, ratio

from easrec.config import Config, TrainConfig
from easrec.losses import BatchLoss
from easrec.model import build
from easrec.space import space_for
from speed.alternate import time_alternately
from speed.interactions import split, typical_batch
from speed.measured import Measured, Row, medians
from speed.parts import milliseconds_by_part
from speed.scale import Scale
from speed.step import Step, flops

__all__ = ["TEXT", "TITLE", "measure"]

TITLE = "Share of the machine's peak"
TEXT = (
    "The peak is the rate of one large product of square float32 matrices, timed alternately with the steps. *Share*: "
    "FLOPs per second of a training step of the largest network (counted by torch, softmax attention as the full "
    "N x N), relative to that peak. *float32 / bfloat16*: above 1, bfloat16 (`train.precision`) is faster on this "
    "machine. Parts of a step are those of torch's profiler, which makes it longer: the loss with its products, "
    "attention without its projections; other products of single elements are in the rest."
)
_KINDS, _TYPES = ("softmax", "linrec"), (torch.float32, torch.bfloat16)


def measure(scale: Scale) -> Measured:
    """Time products and steps of both types alternately."""
    found = Measured()
    products = {_name("product", dtype): _product(scale.matmul, dtype) for dtype in _TYPES}
    steps = {_name(kind, dtype): _step(scale, kind, dtype) for kind in _KINDS for dtype in _TYPES}
    counted = {name: flops(step) for name, step in steps.items()}
    times = time_alternately(products | steps, scale.rounds, scale.limit_s)
    peak, peak_flops = times[_name("product", torch.float32)], 2.0 * scale.matmul**3
    rounds = len(peak)
    for name, work in counted.items():
        values = interval(lambda best, own, work=work: work / peak_flops * best / own, peak, times[name])
        found.rows.append(Row(f"share of the float32 peak, {name}", *values, rounds=rounds))
    for kind in ("product", *_KINDS):
        wide, narrow = (times[_name(kind, dtype)] for dtype in _TYPES)
        found.rows.append(Row(f"float32 / bfloat16, {kind}", *ratio(wide, narrow), rounds=rounds))
    work = dict.fromkeys(products, peak_flops) | counted
    found.figures = [
        figure | {"gflop": work[figure["form"]] / 1e9, "gflop_per_s": work[figure["form"]] / 1e6 / figure["ms"]}
        for figure in medians(times)
    ]
    for name, step in steps.items():
        parts = milliseconds_by_part(step)
        whole = sum(parts.values())
        found.figures += [
            {"form": f"{name}: {part}", "ms": ms, "rounds": 1, "share_of_step": ms / whole}
            for part, ms in parts.items()
        ]
    return found


def _name(what: str, dtype: torch.dtype) -> str:
    return f"{what}, {str(dtype).removeprefix('torch.')}"


def _product(size: int, dtype: torch.dtype) -> Callable[[], object]:
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    return lambda: a @ b


def _step(scale: Scale, kind: str, dtype: torch.dtype) -> Step:
    train = TrainConfig(precision="bfloat16" if dtype == torch.bfloat16 else "float32")
    data, config = split(scale), Config(model=scale.config(attention=kind), train=train)
    network = build(config.model, data.items, space_for(config.model).largest(), True)
    loss = BatchLoss(train, data.training.counts(data.items))
    return Step(network, loss, typical_batch(data, config, scale.batch))
