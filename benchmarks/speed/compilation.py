"""torch.compile relative to eager, sliced and masked, and the number of graphs for masks."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from compiled import count
from interval import ratio
from torch import nn
from torch.profiler import ProfilerActivity, profile

from easrec.model import EASRecModel, supernet
from elasticnas import axes_of
from speed.alternate import time_alternately
from speed.measured import Measured, Row, medians
from speed.scale import Scale

__all__ = ["TEXT", "TITLE", "measure"]

TITLE = "torch.compile"
TEXT = (
    "Time of forward and backward of the encoder, compiled relative to eager, at one architecture (the middle "
    "candidate, full depth), without compilation time. *Kernels*: time in matrix products and softmax attention, from "
    "the profiler, relative to eager time: both forms call the same kernels, and compilation speeds up the rest. "
    "*Graphs*: number compiled for all candidates and depths one after another, masked."
)
_TARGET = 0.66
_PROFILED = 5
_KERNELS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::_scaled_dot_product")


def measure(scale: Scale) -> Measured:
    """Measure both forms on separate supernets, so that no graph is guarded by another's scope."""
    found = Measured()
    for masked in (False, True):
        name = "masked" if masked else "sliced"
        torch._dynamo.reset()
        models = {form: _model(scale) for form in ("eager", "compiled")}
        compiled = torch.compile(models["compiled"], backend=scale.backend, fullgraph=True)
        forms = {
            "eager": partial(_both, models["eager"], models["eager"], scale, masked),
            "compiled": partial(_both, models["compiled"], compiled, scale, masked),
        }
        times = time_alternately(forms, scale.rounds, scale.limit_s)
        values = ratio(times["compiled"], times["eager"])
        found.rows.append(Row(f"{name}, compiled / eager", *values, _TARGET, rounds=len(times["eager"])))
        rounds = min(_PROFILED, len(times["eager"]))
        kernels = [_kernels(forms["eager"]) for _ in range(rounds)]
        found.rows.append(Row(f"{name}, kernels / eager", *ratio(kernels, times["eager"][:rounds]), rounds=rounds))
        found.figures += medians(times, f"{name}: ")
    model = _model(scale)
    archs = list(axes_of(model).space.enumerate())
    counted = count(model, scale.ids(2), archs, scale.backend)
    label = f"graphs for {len(archs)} architectures, masked"
    found.rows.append(Row.counted(label, counted["graphs"], 1, unit="graphs"))
    return found


def _kernels(run: Callable[[], object]) -> float:
    """Return the seconds in matrix products and attention, from the profiler."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        run()
    return sum(each.self_cpu_time_total for each in profiled.key_averages() if each.key.startswith(_KERNELS)) / 1e6


def _model(scale: Scale) -> EASRecModel:
    torch.manual_seed(0)
    return supernet(scale.config(mixing="mask"), scale.items, True).eval()


def _both(model: EASRecModel, runs: nn.Module, scale: Scale, masked: bool) -> None:
    axes: Any = axes_of(model)
    model.zero_grad(set_to_none=True)
    with (axes.masked if masked else axes.at)(axes.space(candidate=1, depth=scale.layers)):
        output = runs(scale.ids(scale.batch))
    output.sum().backward()
