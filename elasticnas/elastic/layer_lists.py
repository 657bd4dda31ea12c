"""Lists with an entry for each layer, such as ``layer_types`` of a config, in a model with chosen layers."""

import inspect
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from torch import nn

from elasticnas.elastic.kinds import is_settings
from elasticnas.errors import ConfigError

__all__ = ["counterparts", "select_lists"]


def counterparts(made: nn.Module, whole: nn.Module, stacks: tuple[str, ...]) -> list[tuple[Any, Any]]:
    """Return modules, parameters and settings outside of the stacks, each with that of the other model."""
    inside = tuple(f"{path}." for path in stacks)
    ours = dict(made.named_modules())
    found: list[tuple[Any, Any]] = []
    for path, module in whole.named_modules():
        if path in ours and not path.startswith(inside):
            found.append((module, ours[path]))
            found += _settings(module, ours[path], 2)
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):
                mine = ours[path]._parameters.get(name, ours[path]._buffers.get(name))
                if tensor is not None and mine is not None:
                    found.append((tensor, mine))
    return found


def _settings(theirs: Any, mine: Any, depth: int) -> list[tuple[Any, Any]]:
    found = []
    for name, value in vars(theirs).items():
        own = vars(mine).get(name)
        if is_settings(value) and type(own) is type(value) and own is not value:
            found += [(value, own), *(_settings(value, own, depth - 1) if depth else ())]
    return found


def select_lists(
    shared: list[tuple[Any, Any]], count: int, kept: Sequence[int], selected: dict[tuple[int, str], Sequence[int]]
) -> None:
    """Select the entries of kept layers in lists of modules and configs.

    Args:
        shared: Pairs of :func:`counterparts`.
        count: Number of all layers.
        kept: Numbers of the kept ones.
        selected: The lists that are done, by owner and name, with the layers that were selected.

    Raises:
        ConfigError: A list belongs to two stacks, or its owner computes it from positions.
    """
    for theirs, mine in {id(original): (original, other) for original, other in shared}.values():
        for name in _names(theirs):
            value, own = _read(theirs, name), _read(mine, name)
            if not isinstance(value, (list, tuple)) or type(own) is not type(value):
                continue
            if len(value) != count or len(own) != len(kept) or len(kept) == count:
                continue
            if selected.setdefault((id(mine), name), kept) != kept:
                raise ConfigError(
                    f"{name} has an entry for each of {count} layers, and two stacks of {count} layers keep different "
                    "ones: which entries belong to which stack is unknown; keep the same layers in both"
                )
            _set(mine, name, own, type(value)(value[number] for number in kept))


def _set(owner: Any, name: str, value: Any, chosen: Any) -> None:
    if list(value) == list(chosen):
        return
    with suppress(AttributeError):
        setattr(owner, name, chosen)
    if list(_read(owner, name)) != list(chosen):
        raise ConfigError(
            f"{name} of {type(owner).__name__} follows from the positions of layers, so that it cannot be {chosen}, "
            "which the kept layers have: keep the first layers by depth, or a period of layers by a rule of the space"
        )


def _names(owner: Any) -> list[str]:
    """Return the names of attributes, and of the properties of a config."""
    names = list(vars(owner)) if hasattr(owner, "__dict__") else []
    if not is_settings(owner):
        return names
    return names + [name for name in dir(type(owner)) if isinstance(inspect.getattr_static(owner, name), property)]


def _read(owner: Any, name: str) -> Any:
    try:
        return vars(owner)[name] if name in vars(owner) else getattr(owner, name, None)
    except Exception:  # a property that this config cannot compute
        return None
