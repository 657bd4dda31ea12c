"""The softmax loss over all items: this library's, torch's on explicit scores, and liger-kernel's fused one."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elasticnas.nn import tied_cross_entropy
from elasticnas.report import peak_memory, reset_peak_memory
from gpu_parts.scale import Scale
from gpu_parts.timing import milliseconds, ratios

__all__ = ["SHARE", "TITLE", "measure"]

TITLE = "The loss over all items, forward and backward, over this library's"
SHARE = 0.15


def measure(record: Any, device: str, scale: Scale) -> None:
    """Time each form in float32 and bf16, and record its peak memory and its loss."""
    liger = _liger() if device != "cpu" else None
    if liger is None:
        record(**{"liger-kernel": "not measured: it is not installed, or the device is the CPU"})
    for rows, items in scale.losses:
        for dtype in (torch.float32, torch.bfloat16):
            embedding = nn.Embedding(items, scale.model.hidden, device=device, dtype=dtype)
            generator = torch.Generator().manual_seed(0)
            x = torch.randn(rows, scale.model.hidden, generator=generator).to(device, dtype).requires_grad_()
            targets = torch.randint(0, items, (rows,), generator=generator).to(device)
            losses: dict[str, Callable[[], Tensor]] = {
                "elasticnas": partial(tied_cross_entropy, x, embedding, targets),
                "torch": partial(_explicit, x, embedding, targets),
            }
            if liger is not None:
                losses["liger-kernel"] = partial(liger, embedding.weight, x, targets)
            name = f"{rows:,} rows, {items:,} items, {str(dtype).removeprefix('torch.')}"
            forms = {form: partial(_both, loss, embedding, x) for form, loss in losses.items()}
            values, peaks = {}, {}
            for form, run in forms.items():
                reset_peak_memory(torch.device(device))
                values[form], peaks[form] = run(), peak_memory(torch.device(device))
            times = milliseconds(forms, device, scale.rounds)
            record(**{name: ratios(times, "elasticnas"), f"{name}: losses": values, f"{name}: peak_bytes": peaks})


def _explicit(x: Tensor, embedding: nn.Embedding, targets: Tensor) -> Tensor:
    return F.cross_entropy((x @ embedding.weight.T).float(), targets)


def _both(loss: Callable[[], Tensor], embedding: nn.Embedding, x: Tensor) -> float:
    embedding.zero_grad(set_to_none=True)
    x.grad = None
    value = loss()
    value.backward()
    return float(value)


def _liger() -> Callable[..., Tensor] | None:
    try:
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss
    except ImportError:
        return None
    fused: Callable[..., Tensor] = LigerFusedLinearCrossEntropyLoss()
    return fused
