"""torch.compile over eager, sliced and masked: forward and backward of the encoder."""

import time
from functools import partial
from typing import Any

import torch

from easrec.model import supernet
from elasticnas import axes_of
from gpu_parts.scale import Scale
from gpu_parts.timing import ids, milliseconds, ratios, wait

__all__ = ["SHARE", "TITLE", "measure"]

TITLE = "torch.compile over eager"
SHARE = 0.25


def measure(record: Any, device: str, scale: Scale) -> None:
    """Time both forms at the middle candidate, and the compilation itself."""
    given = ids(scale.items, scale.batch, scale.model.length, device)
    for masked in (False, True):
        name = "masked" if masked else "sliced"
        torch._dynamo.reset()
        model = supernet(scale.model.model_copy(update={"mixing": "mask"}), scale.items, True).to(device).eval()
        axes = axes_of(model)
        arch = axes.space(candidate=1, depth=scale.model.layers)
        scope = partial(axes.masked if masked else axes.at, arch)
        compiled = torch.compile(model, fullgraph=True, backend="inductor" if device != "cpu" else "eager")
        begun = time.perf_counter()
        _both(model, compiled, scope, given)
        wait(device)
        seconds = time.perf_counter() - begun
        forms = {"eager": partial(_both, model, model, scope, given)}
        forms["compiled"] = partial(_both, model, compiled, scope, given)
        record(**{name: ratios(milliseconds(forms, device, scale.rounds), "eager"), f"{name} compilation_s": seconds})


def _both(model: torch.nn.Module, runs: Any, scope: Any, given: torch.Tensor) -> None:
    model.zero_grad(set_to_none=True)
    with scope():
        output = runs(given)
    output.sum().backward()
