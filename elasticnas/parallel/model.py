"""Models that DDP or FSDP2 share among the processes: checked before the work, and saved."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from elasticnas.errors import ConfigError
from elasticnas.parallel.group import require_group, size
from elasticnas.parallel.sharding import fsdp_modules, is_shard, is_sharded, sharded_like, unwrapped, whole
from elasticnas.parallel.wrapping import kind_of

__all__ = ["Whole", "prepared"]


def prepared(model: nn.Module, user: str) -> nn.Module:
    """Return the form of a model that can be trained on the processes of the group.

    DDP is made anew if it would wait for parameters that a sub-network does not use.

    Args:
        model: The model of a problem.
        user: What trains it, for messages.

    Raises:
        ConfigError: The group has several processes, and they would not train one common model as one process does.
    """
    require_group(user)
    for module in fsdp_modules(model):
        module.reshard()  # after a pass without gradients the parameters may still be whole
    if size() == 1:
        return model
    _refuse_parts(unwrapped(model), user)
    if kind_of(model) is None:
        raise ConfigError(
            f"{user} runs on {size()} processes, and each would have its own {type(model).__name__}: give "
            'Run(parallel="ddp") or Run(parallel="fsdp"), or a model wrapped by elasticnas.parallel.wrap'
        )
    if isinstance(model, DistributedDataParallel):
        return _skipping_unused(model)
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
