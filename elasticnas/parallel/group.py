"""The process group of torch.distributed; without one, there is one process of rank 0."""

import os
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from elasticnas.errors import ConfigError

__all__ = ["average", "device", "gathered", "launched", "mean", "rank", "refuse", "require_group", "size", "total"]


def size() -> int:
    """Return the number of processes of the group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process in the group, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def device() -> torch.device:
    """Return the device of the tensors that the group exchanges."""
    nccl = dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")


def total(values: Sequence[float]) -> list[float]:
    """Return the sums of some numbers over the processes, in float64."""
    if size() == 1:
        return list(values)
    summed = torch.tensor(values, dtype=torch.float64, device=device())
    dist.all_reduce(summed)
    return summed.tolist()


def mean(value: Tensor) -> Tensor:
    """Return the mean of a scalar ``()`` over the processes, detached; in one process, the value itself."""
    value = value.detach()
    if size() == 1:
        return value
    return torch.tensor(total([float(value)])[0] / size(), dtype=torch.float64)


def average(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their mean over the processes, in place."""
    if size() == 1:
        return
    for tensor in tensors:
        shared = tensor.to(device())
        dist.all_reduce(shared)
        tensor.copy_(shared / size())


def gathered(value: Any) -> list[Any]:
    """Return a value of every process, by rank: tensors on the CPU and plain data."""
    values = [value] * size()
    if size() > 1:
        dist.all_gather_object(values, value)
    return values


def launched() -> int:
    """Return the number of processes of the group; without a group, of those that torchrun or another has started."""
    if size() == 1 and not (dist.is_available() and dist.is_initialized()) and "RANK" in os.environ:
        return int(os.environ.get("WORLD_SIZE", "1"))
    return size()


def refuse(user: str, way_out: str) -> None:
    """Refuse several processes, with a group or started by torchrun.

    Args:
        user: What runs in one process only.
        way_out: What to do instead.

    Raises:
        ConfigError: There is more than one process.
    """
    if launched() > 1:
        raise ConfigError(f"{user} runs in one process, and there are {launched()}: {way_out}")


def require_group(user: str) -> None:
    """Require a process group if torchrun has started several processes: without one, each would do the same work.

    Raises:
        ConfigError: There are several processes without a group.
    """
    if launched() > 1 and size() == 1:
        raise ConfigError(
            f"torchrun started {launched()} processes, and {user} would run in each on its own: give "
            'Run(parallel="ddp") or Run(parallel="fsdp"), or start it without torchrun'
        )
