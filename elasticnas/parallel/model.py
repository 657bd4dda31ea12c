"""Models that DDP or FSDP2 share among the processes: wrapped, checked and saved."""

import os
import sys
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from elasticnas.errors import ConfigError, ElasticNASError
from elasticnas.parallel.group import size
from elasticnas.parallel.sharding import is_shard, sharded_like, whole

__all__ = ["Whole", "is_sharded", "prepared", "refuse_sharded", "unwrapped", "wrap"]


def wrap(model: nn.Module, kind: Literal["ddp", "fsdp"]) -> nn.Module:
    """Share a model among the processes that torchrun has started; start their group if there is none.

    Costs are made from the model before it is wrapped, or from a copy if ``kind`` is ``"fsdp"``.

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
    if not dist.is_initialized():
        if not dist.is_torchelastic_launched():
            raise ConfigError(
                "parallel.wrap needs a process group: start the program by torchrun --nproc-per-node=2 program.py, or "
                "call torch.distributed.init_process_group"
            )
        dist.init_process_group()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        model.cuda()
    if kind == "ddp":
        return DistributedDataParallel(model, find_unused_parameters=True)
    from torch.distributed.fsdp import fully_shard

    fully_shard(model)
    return model


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model that DDP wraps, or the model itself."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def is_sharded(model: nn.Module) -> bool:
    """Return whether ``fully_shard`` shards the model or a part of it."""
    return bool(_fsdp_modules(model)) or any(is_shard(parameter) for parameter in model.parameters())


def refuse_sharded(model: nn.Module, user: str, error: type[ElasticNASError] = ConfigError) -> None:
    """Refuse a model whose weights are sharded.

    Raises:
        ElasticNASError: They are, of the class ``error``.
    """
    if is_sharded(model):
        raise error(
            f"{user} needs whole weights, and fully_shard has sharded these: make the model again, "
            "again.load_state_dict(elasticnas.parallel.full_state_dict(model)) on every rank, and give that one"
        )


def prepared(model: nn.Module, user: str) -> nn.Module:
    """Return the form of a model that can be trained on the processes of the group.

    DDP is made anew if it would wait for parameters that a sub-network does not use.

    Args:
        model: The model of a problem.
        user: What trains it, for messages.

    Raises:
        ConfigError: The group has several processes, and they would not train one common model as one process does.
    """
    for module in _fsdp_modules(model):
        module.reshard()  # after a pass without gradients the parameters may still be whole
    if size() == 1:
        return model
    if isinstance(model, DistributedDataParallel):
        _refuse_parts(model.module, user)
        return _skipping_unused(model)
    if not is_sharded(model):
        raise ConfigError(
            f"{user} runs on {size()} processes, and each would train its own {type(model).__name__}: give "
            'elasticnas.parallel.wrap(model, "ddp") or wrap(model, "fsdp")'
        )
    _refuse_parts(model, user)
    _require_all_sharded(model)
    return model


def _refuse_parts(model: nn.Module, user: str) -> None:
    """Refuse parts whose result on several processes is not that of one."""
    for name, part in model.named_modules():
        where = f"{name or 'the model'} is {type(part).__name__}"
        if isinstance(part, DistributedDataParallel) or type(part).__name__ == "FullyShardedDataParallel":
            raise ConfigError(f"{where}: wrap the whole model, in DistributedDataParallel or by fully_shard")
        if type(part).__name__ == "OptimizedModule" or part._compiled_call_impl is not None:
            raise ConfigError(f"{where} and compiled: {user} on {size()} processes needs a model without torch.compile")
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats:
            raise ConfigError(
                f"{where}: every process would have its own statistics; use LayerNorm or GroupNorm, or one process"
            )


def _skipping_unused(model: DistributedDataParallel) -> DistributedDataParallel:
    if model.process_group.size() != size():
        raise ConfigError(f"DDP shares the model among {model.process_group.size()} of {size()} processes: use all")
    if model.find_unused_parameters and not model.static_graph:
        return model
    if model._comm_hooks:
        raise ConfigError("DDP has a communication hook: make it with find_unused_parameters=True, static_graph=False")
    return DistributedDataParallel(
        model.module,
        device_ids=model.device_ids,
        output_device=model.output_device,
        broadcast_buffers=model.broadcast_buffers,
        process_group=model.process_group,
        gradient_as_bucket_view=model.gradient_as_bucket_view,
        find_unused_parameters=True,
    )


def _require_all_sharded(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if not is_shard(parameter):
            raise ConfigError(f"{name} is not sharded, and its gradients would differ: call fully_shard(model) last")
        mesh: Any = parameter.device_mesh  # type: ignore[attr-defined]
        if mesh.ndim != 1 or mesh.size() != size():
            raise ConfigError(f"{name} is sharded over {mesh}: use fully_shard over all {size()} processes")


def _fsdp_modules(model: nn.Module) -> list[Any]:
    # only a program that has imported it can have used it
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return [] if fsdp is None else [part for part in model.modules() if isinstance(part, fsdp.FSDPModule)]


class Whole:
    """The state of a model for a checkpoint: that of the model without DDP, with whole tensors.

    Args:
        model: The model, wrapped or not.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = unwrapped(model)

    def state_dict(self) -> Any:
        """Return the state; on ranks other than 0, without the tensors that are sharded."""
        return whole(self._model.state_dict()) if is_sharded(self._model) else self._model.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that has whole tensors."""
        if not is_sharded(self._model):
            self._model.load_state_dict(state)
            return
        own = self._model.state_dict()
        self._model.load_state_dict({name: sharded_like(value, own.get(name)) for name, value in state.items()})
