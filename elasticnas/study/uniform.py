"""uniform_sizes: the network that needs no search, at equal FLOPs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from elasticnas.cost import count_flops

__all__ = ["uniform_sizes"]

_HALVINGS = 14


def uniform_sizes(scaled: Callable[[float], Any], build: Callable[[Any], nn.Module], example: Any, flops: float) -> Any:
    """The sizes of the narrowest uniformly scaled network with at least so many FLOPs.

    Where widths round to a coarse grid it has more, never fewer: the doubt is in favour of the baseline.

    Args:
        scaled: ``scaled(factor)``: the sizes of the largest network with every width multiplied by a factor.
        build: Makes the network of what ``scaled`` gives.
        example: An input of the network on the CPU.
        flops: Of one pass on the example.
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
