"""in_float32: attention in float32 under autocast on the CPU."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["in_float32"]


def in_float32(compute: Callable[..., Tensor], *operands: Tensor) -> Tensor:
    """Compute an attention from queries, keys and values; under autocast on the CPU, in float32.

    Products of single heads are small, and torch's fused attention on the CPU takes several times as long in bfloat16
    as in float32. Other devices compute in autocast's type.

    Args:
        compute: Maps the operands to the attention's output.
        operands: Queries, keys and values, in any floating-point type.

    Returns:
        What ``compute`` returns.
    """
    kind = operands[0].device.type
    if kind != "cpu" or not torch.is_autocast_enabled(kind):
        return compute(*operands)
    with torch.autocast(kind, enabled=False):
        return compute(*(x if x.dtype == torch.float64 else x.float() for x in operands))
