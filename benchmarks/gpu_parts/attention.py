"""LinRec against fused softmax attention by length of the sequence, forward and backward."""

from functools import partial
from typing import Any

import torch

import elasticnas.nn as enn
from gpu_parts.scale import Scale
from gpu_parts.timing import milliseconds, ratios

__all__ = ["SHARE", "TITLE", "measure"]

TITLE = "LinRec over fused softmax attention, by length"
SHARE = 0.15
_BATCH = 16


def measure(record: Any, device: str, scale: Scale) -> None:
    """Time a causal attention module of the paper's width in bf16, forward and backward."""
    hidden, heads = scale.model.hidden, scale.model.heads
    for length in scale.lengths:
        x = torch.randn(_BATCH, length, hidden, generator=torch.Generator().manual_seed(0))
        x = x.to(device, torch.bfloat16).requires_grad_()
        forms = {}
        for kind in ("softmax", "linrec"):
            module = enn.Attention(hidden, heads, hidden // heads, kind=kind, causal=True)
            forms[kind] = partial(_both, module.to(device, torch.bfloat16), x)
        record(**{f"{length}": ratios(milliseconds(forms, device, scale.rounds), "softmax")})


def _both(module: torch.nn.Module, x: torch.Tensor) -> None:
    module.zero_grad(set_to_none=True)
    module(x).sum().backward()
