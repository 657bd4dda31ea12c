"""uniform_sizes: the network that needs no search, at equal FLOPs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from elasticnas.cost import count_flops
from elasticnas.study.task import Task

__all__ = ["uniform_sizes"]

_HALVINGS = 14


def uniform_sizes(task: Task, build: Callable[[Any], nn.Module], flops: float) -> Any:
    """The sizes of the narrowest uniformly scaled network with at least so many FLOPs.

    Where widths round to a coarse grid it has more, never fewer: the doubt is in favour of the baseline.

    Args:
        task: Gives ``scaled`` and the example.
        build: Makes the network of what ``scaled`` gives.
        flops: Of one pass on the task's example.
    """
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _flops(task, build, task.scaled(middle)) >= flops:
            high = middle
        else:
            low = middle
    return task.scaled(high)


def _flops(task: Task, build: Callable[[Any], nn.Module], sizes: Any) -> float:
    with torch.device("meta"):
        network = build(sizes)
    return count_flops(network, task.example)
