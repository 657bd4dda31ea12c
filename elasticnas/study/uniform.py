"""uniform_sizes: sizes of the uniformly scaled network at equal FLOPs, the baseline without a search."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from elasticnas.cost import count_flops

__all__ = ["uniform_sizes"]

_HALVINGS = 14


def uniform_sizes(scaled: Callable[[float], Any], build: Callable[[Any], nn.Module], example: Any, flops: float) -> Any:
    """Return the sizes of the narrowest uniformly scaled network with at least so many FLOPs.

    If widths are rounded, it may have more FLOPs, never fewer, which favours the baseline.

    Args:
        scaled: ``scaled(factor)`` returns the sizes of the largest network with every width multiplied by a factor.
        build: Builds the network of a result of ``scaled``.
        example: An input of the network on the CPU.
        flops: Number of FLOPs of one pass on the example.
    """
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _flops(build, scaled(middle), example) >= flops:
            high = middle
        else:
            low = middle
    return scaled(high)


def _flops(build: Callable[[Any], nn.Module], sizes: Any, example: Any) -> float:
    with torch.device("meta"):
        network = build(sizes)
    return count_flops(network, example)
