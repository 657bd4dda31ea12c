"""Whole tensors from the shards of FSDP2, and shards from whole tensors."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from elasticnas.parallel.group import rank

__all__ = ["fsdp_modules", "full_state_dict", "is_shard", "is_sharded", "sharded_like", "unwrapped", "whole"]


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model that DDP wraps, or the model itself."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def is_shard(value: object) -> bool:
    """Return whether a value is a DTensor, without importing torch.distributed.tensor."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(value, module.DTensor)


def is_sharded(model: nn.Module) -> bool:
    """Return whether ``fully_shard`` shards the model or a part of it."""
    return bool(fsdp_modules(model)) or any(is_shard(parameter) for parameter in model.parameters())


def fsdp_modules(model: nn.Module) -> list[Any]:
    """Return the parts of a model to which ``fully_shard`` was applied."""
    # only a program that has imported it can have used it
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return [] if fsdp is None else [part for part in model.modules() if isinstance(part, fsdp.FSDPModule)]


def whole(tree: Any) -> Any:
    """Return a tree of plain data in which sharded tensors are whole and on the CPU.

    All ranks must call it; those other than 0 get None in place of sharded tensors, as the result is for files.
    """
    return _mapped(tree, _on_first_rank)


def full_state_dict(model: nn.Module) -> dict[str, Any]:
    """Return the state dict of a model, with sharded tensors whole, under the names of the model without a wrapper.

    All ranks must call it, and all get the tensors.
    """
    return {name: _full(value) for name, value in unwrapped(model).state_dict().items()}


def sharded_like(value: Any, like: object) -> Any:
    """Return the shard of a whole tensor that belongs to this rank, if ``like`` is sharded and has its shape."""
    if not (is_shard(like) and isinstance(value, Tensor) and value.shape == like.shape):  # type: ignore[attr-defined]
        return value
    from torch.distributed.tensor import distribute_tensor

    given: Any = like
    # every rank has the whole tensor: none needs to be sent
    return distribute_tensor(value.to(given.device), given.device_mesh, given.placements, src_data_rank=None)


def _full(value: Any) -> Any:
    return value.full_tensor() if is_shard(value) else value


def _on_first_rank(value: Any) -> Any:
    if not is_shard(value):
        return value
    full = value.full_tensor()
    return full.cpu() if rank() == 0 else None


def _mapped(tree: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(tree, Mapping):
        return {name: _mapped(value, function) for name, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_mapped(value, function) for value in tree)
    return function(tree)
