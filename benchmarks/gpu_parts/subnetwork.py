"""A sub-network in the supernet over the extracted network, for one sequence and 64."""

from functools import partial
from typing import Any

import torch

from easrec.model import supernet
from elasticnas import axes_of, bind, extract
from gpu_parts.scale import Scale
from gpu_parts.timing import ids, milliseconds, ratios

__all__ = ["SHARE", "TITLE", "measure"]

TITLE = "Inference: a sub-network in the supernet over the extracted network"
SHARE = 0.15


def measure(record: Any, device: str, scale: Scale) -> None:
    """Time the encoder without gradients, in float32 and bf16."""
    for dtype in (torch.float32, torch.bfloat16):
        model = supernet(scale.model, scale.items, True).to(device).eval()
        axes = axes_of(model)
        arch = axes.space(candidate=1, depth=max(1, scale.model.layers // 2))
        plain = extract(model, arch, ids(scale.items, 2, scale.model.length, device)).eval()
        model, plain = model.to(dtype), plain.to(dtype)
        bound = bind(model, arch)
        for batch in (1, 64):
            given = ids(scale.items, batch, scale.model.length, device)
            forms = {
                "extracted": partial(_run, plain, given),
                "bound": partial(_run, bound, given),
                "sliced": partial(_in_scope, axes.at, arch, model, given),
                "masked": partial(_in_scope, axes.masked, arch, model, given),
            }
            times = milliseconds(forms, device, scale.rounds * 2)
            record(**{f"{str(dtype).removeprefix('torch.')}, batch {batch}": ratios(times, "extracted")})


@torch.no_grad()
def _run(network: torch.nn.Module, given: torch.Tensor) -> None:
    network(given)


def _in_scope(scope: Any, arch: Any, network: torch.nn.Module, given: torch.Tensor) -> None:
    with scope(arch):
        _run(network, given)
