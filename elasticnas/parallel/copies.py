"""A copy of a model whose weights fully_shard has sharded, with whole weights."""

import copy
from itertools import chain
from typing import Any

from torch import Tensor, nn

from elasticnas.parallel.sharding import fsdp_modules, is_shard, is_sharded

__all__ = ["unsharded"]

_HOOKS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)


def unsharded(model: nn.Module) -> nn.Module:
    """Return a model with whole weights: the model itself, or a copy if ``fully_shard`` shards it.

    All ranks must call it for a sharded model, as each gets the shards of the others.
    """
    if not isinstance(model, nn.Module) or not is_sharded(model):
        return model  # what is no model is refused where its use is known
    sharded = {part: type(part) for part in fsdp_modules(model)}
    memo: dict[int, Any] = {}
    for part in sharded:
        part.reshard()
        memo[id(part._get_fsdp_state())] = object()  # owner of hooks that the copy loses
    for tensor in chain(model.parameters(), model.buffers()):
        if id(tensor) not in memo and is_shard(tensor):
            memo[id(tensor)] = _whole(tensor)
    try:
        for part, kind in sharded.items():
            part.__class__ = kind.__bases__[1]  # fully_shard replaces the class by one that cannot be copied
        made = copy.deepcopy(model, memo)
    finally:
        for part, kind in sharded.items():
            part.__class__ = kind
    for part in made.modules():
        _forget(part)
    return made


def _whole(tensor: Any) -> Tensor:
    full: Tensor = tensor.detach().full_tensor()
    return nn.Parameter(full, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else full


def _forget(module: nn.Module) -> None:
    """Remove what fully_shard has added to a module."""
    from torch.distributed._composable.contract import REGISTRY_KEY, STATE_KEY

    for name in (REGISTRY_KEY, STATE_KEY, "_is_fsdp_managed_module", "_fsdp_use_orig_params"):
        module.__dict__.pop(name, None)
    for name in _HOOKS:
        hooks = getattr(module, name)
        for key in [key for key, hook in hooks.items() if hook.__module__.startswith("torch.distributed.fsdp")]:
            del hooks[key]
