"""Kinds: what a module is besides its tensors, to compare layers and to see which settings a choice changes."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Kind", "differences", "is_settings", "kind_of", "plain_settings", "position_keys", "settings_of"]

Kind = dict[tuple[str, str], Any]
"""Class, attributes and buffers of every module in a layer, by relative path and name."""

_OWN = frozenset(vars(nn.Module()))
_UNKNOWN = object()
_MOST_DEPTH = 3  # nested objects, such as the text config in a config


def kind_of(module: nn.Module) -> Kind:
    """Return the kind of a layer: class, plain attributes, functions, and values of buffers that have some."""
    found: Kind = {}
    for path, part in module.named_modules():
        found[path, "class"] = _plain(type(part))
        for name, value in vars(part).items():
            if name not in _OWN and (plain := _plain(value)) is not _UNKNOWN:
                found[path, name] = plain
        for name, parameter in part._parameters.items():
            found[path, name] = parameter is None
        for name, buffer in part._buffers.items():
            found[path, name] = _values(buffer)
    return found


def settings_of(model: nn.Module) -> dict[str, Any]:
    """Return all plain attributes and functions of modules and of their configs, by dotted name."""
    found: dict[str, Any] = {}
    for path, module in model.named_modules():
        _add_settings(found, path, module, 0)
    return found


def plain_settings(owner: object) -> dict[str, Any]:
    """Return the plain attributes of a config, by name."""
    return {name: plain for name, value in vars(owner).items() if (plain := _plain(value)) is not _UNKNOWN}


def _add_settings(found: dict[str, Any], path: str, owner: Any, depth: int) -> None:
    for name, value in vars(owner).items():
        where = f"{path}.{name}".lstrip(".")
        if name in _OWN and isinstance(owner, nn.Module):
            continue
        if (plain := _plain(value)) is not _UNKNOWN:
            found[where] = plain
        elif is_settings(value) and depth < _MOST_DEPTH:
            _add_settings(found, where, value, depth + 1)


def differences(one: Kind, other: Kind, ignored: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Return in what two layers differ, as text such as ``attn.window: 4, not None``."""
    skipped = set(ignored)
    found = []
    for key in [*one, *(key for key in other if key not in one)]:
        mine, theirs = one.get(key, _UNKNOWN), other.get(key, _UNKNOWN)
        if key not in skipped and not _same(mine, theirs):
            path, name = key
            found.append(f"{f'{path}.{name}'.lstrip('.')} is {_text(mine)}, not {_text(theirs)}")
    return found


def position_keys(layers: Sequence[Kind]) -> set[tuple[str, str]]:
    """Return the integer attributes that count the layers of a stack, such as ``layer_idx``."""
    keys = {key for kind in layers for key in kind}
    offsets = {
        key: [kind[key] - index for index, kind in enumerate(layers) if key in kind]
        for key in keys
        if all(type(kind.get(key, 0)) is int for kind in layers)
    }
    counting = {key for key, found in offsets.items() if len(found) > 1 and len(set(found)) == 1}
    # an attribute of a single layer counts only if it has the name of one that does
    names = {name for _, name in counting}
    return counting | {key for key, found in offsets.items() if key[1] in names and found == [0]}


def is_settings(value: object) -> bool:
    """Return whether an object holds settings, such as a config: it has attributes, and is no module or tensor."""
    return (
        hasattr(value, "__dict__")
        and not isinstance(value, (nn.Module, Tensor, type, partial, dict, list, tuple, set))
        and not callable(value)
    )


def _plain(value: Any) -> Any:
    """Return a value that can be compared; _UNKNOWN for an object of another kind."""
    if value is None or isinstance(value, (bool, int, str, torch.dtype, torch.device)):
        return value
    if isinstance(value, type):
        return "class", value.__module__, value.__qualname__  # build may define it anew in each call
    if isinstance(value, (float, complex)):
        return float(value) if isinstance(value, float) else repr(value)
    if isinstance(value, partial):
        return "partial", _plain(value.func), _plain(value.args), _plain(value.keywords)
    if isinstance(value, (FunctionType, BuiltinFunctionType, MethodType)):
        return _function(value)
    if isinstance(value, (tuple, list)):
        items = tuple(map(_plain, value))
        return _UNKNOWN if _UNKNOWN in items else items
    if isinstance(value, Mapping):
        pairs = tuple((key, _plain(item)) for key, item in value.items())
        return _UNKNOWN if any(item is _UNKNOWN for _, item in pairs) else pairs
    return _UNKNOWN


def _function(value: Any) -> tuple[Any, ...]:
    function = getattr(value, "__func__", value)
    code = getattr(function, "__code__", None)
    if code is None:
        return "function", function.__module__, function.__qualname__
    cells = tuple(_plain(cell.cell_contents) for cell in function.__closure__ or ())
    constants = tuple(item for item in map(_plain, code.co_consts) if item is not _UNKNOWN)
    # two functions made on one line have one name
    known = tuple(cell for cell in cells if cell is not _UNKNOWN)
    return "function", function.__module__, function.__qualname__, code.co_code, constants, known


def _values(buffer: Tensor | None) -> Any:
    return None if buffer is None else buffer.detach()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        return one.is_meta or other.is_meta or torch.equal(one, other)
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return False
    return type(one) is type(other) and (one == other or (one != one and other != other))


def _text(value: Any) -> str:
    if value is _UNKNOWN:
        return "absent"
    if isinstance(value, Tensor):
        return "a buffer of other values"
    if isinstance(value, tuple) and value[:1] in (("function",), ("class",)):
        return str(value[2]).rpartition(".")[2]
    return repr(value)[:60]
