"""Models that DDP or FSDP2 share among the processes: wrapped and unwrapped."""

import atexit
import os
from typing import Literal, TypeAlias

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from elasticnas.errors import ConfigError
from elasticnas.parallel.group import launched
from elasticnas.parallel.sharding import is_sharded

__all__ = ["Kind", "kind_of", "start_group", "wrap", "wrapped_as"]

Kind: TypeAlias = Literal["ddp", "fsdp"]


def start_group() -> None:
    """Start the group of the processes that torchrun has started, if there is none; it ends with the program.

    Raises:
        ConfigError: srun has started several processes without torchrun.
    """
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if launched() == 1 and tasks > 1 and "RANK" not in os.environ:
        raise ConfigError(
            f"srun started {tasks} tasks that do not know each other: one task per node, and srun torchrun ... in it"
        )
    if launched() > 1 and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        dist.init_process_group()
        atexit.register(_end_group)


def _end_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def wrap(model: nn.Module, kind: Kind) -> nn.Module:
    """Share a model among the processes that torchrun has started; start their group if there is none.

    All ranks get the weights of rank 0.

    Args:
        model: The supernet. It is moved to the GPU of this process if the machine has one.
        kind: ``"ddp"``: every process holds all weights. ``"fsdp"``: the weights are sharded by ``fully_shard``.

    Returns:
        The model wrapped in DistributedDataParallel, or the model itself, with sharded weights.

    Raises:
        ConfigError: The kind is unknown, or torchrun has not started this process.
    """
    if kind not in ("ddp", "fsdp"):
        raise ConfigError(f'parallel.wrap(model, {kind!r}): choose "ddp" or "fsdp"')
    start_group()
    if not dist.is_initialized():
        raise ConfigError(
            "parallel.wrap needs several processes: start the program by torchrun --nproc-per-node=2 program.py, or "
            "call torch.distributed.init_process_group"
        )
    if torch.cuda.is_available():
        model.cuda()
    if kind == "ddp":
        return DistributedDataParallel(model, find_unused_parameters=True)
    from torch.distributed.fsdp import fully_shard

    for tensor in (*model.parameters(), *model.buffers()):
        dist.broadcast(tensor.detach(), 0)
    fully_shard(model)
    return model


def wrapped_as(model: nn.Module, kind: "Kind | None") -> nn.Module:
    """Return a model wrapped as asked; the model itself for None, in one process, or if it is wrapped so already.

    Raises:
        ConfigError: It is wrapped in another way.
    """
    if kind is None or launched() == 1:
        return model
    own = kind_of(model)
    if own not in (None, kind):
        raise ConfigError(f"Run(parallel={kind!r}): the model is wrapped as {own!r} already; leave parallel out")
    start_group()
    return wrap(model, kind) if own is None else model


def kind_of(model: nn.Module) -> "Kind | None":
    """Return how a model is wrapped; None if it is not."""
    if isinstance(model, DistributedDataParallel):
        return "ddp"
    return "fsdp" if is_sharded(model) else None
