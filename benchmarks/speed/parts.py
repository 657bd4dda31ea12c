"""Time of the parts of a training step, by torch's profiler."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.profiler import ProfilerActivity, profile

__all__ = ["PARTS", "milliseconds_by_part"]

# the first part that fits an operation, or one in which it runs; the loss first, as it contains products
PARTS = {
    "loss": ("_TiedCrossEntropy",),
    "optimizer": ("Optimizer.step",),
    "attention": ("scaled_dot_product", "aten::bmm", "aten::cumsum", "aten::tril", "aten::elu"),
    "linear layers": ("aten::addmm", "aten::mm", "aten::linear", "AddmmBackward"),
    "dropout": ("aten::bernoulli_", "aten::dropout", "native_dropout"),
    "norms": ("layer_norm", "LayerNorm"),
}
_REST = "rest"


def milliseconds_by_part(step: Callable[[], object], steps: int = 3) -> dict[str, float]:
    """Return the time of each part of a step in ms, mean over some steps; the profiler makes them longer.

    Operations of a backward pass that are not named after their layer, such as the product of a dropout, are in
    ``rest``.
    """
    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(steps):
            step()
    found: Counter[str] = Counter()
    for event in profiled.events() or ():
        found[_part_of(event)] += event.self_cpu_time_total
    return {name: found[name] / steps / 1e3 for name in (*PARTS, _REST)}


def _part_of(event: Any) -> str:
    names = []
    while event is not None:
        names.append(event.name)
        event = event.cpu_parent
    return next((part for part, known in PARTS.items() if any(k in n for n in names for k in known)), _REST)
