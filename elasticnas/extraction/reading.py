"""Reach: the sizes that a module may read in its forward, by the objects that it holds and the code that it runs."""

import gc
import sys
import weakref
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import Tensor, nn

from elasticnas.axes import Axes, Axis, Group, Size

__all__ = ["Reach"]

_LIBRARIES = sys.stdlib_module_names | {"elasticnas", "einops", "numpy", "torch"}
_REGISTRIES = ("_parameters", "_buffers", "_modules")  # tensors hold no size, modules are asked by themselves
_OUTSIDE = {"__init__", "__deepcopy__", "__repr__", "extra_repr", "plain"}  # of a class: no part of its computation
_ANYTHING = {"axes", "axes_of", "current", "eval", "exec", "frame", "globals", "open_scopes", "scopes", "sizes_of"}
"""Names of what leads from any module or size to the whole architecture."""


class Reach:
    """All that a module may read, without the registered modules below it.

    Sizes are found in its attributes and whatever these hold, its hooks, and, for code outside of the known libraries,
    the closures and global names of its methods and of the functions that they call.

    Args:
        module: Of any class.

    Attributes:
        axes: Axes that it may read.
        modules: Modules that it may run though they are not registered with it.
        anything: Whether it may read every choice.
    """

    def __init__(self, module: nn.Module) -> None:
        self.axes: set[Axis] = set()
        self.modules: list[nn.Module] = []
        self.anything = False
        pending = [type(module), *(value for name, value in vars(module).items() if name not in _REGISTRIES)]
        seen: dict[int, Any] = {}
        while pending and not self.anything:
            item = pending.pop()
            if id(item) not in seen:
                seen[id(item)] = item  # held, as another object may take the id of one that is gone
                pending.extend(self._held_by(item))

    def _held_by(self, item: Any) -> Iterable[Any]:
        if isinstance(item, Size):
            self.axes.update(item.leaves)
        elif isinstance(item, (Axes, Group)):
            self.axes.update(item.all())
        elif isinstance(item, nn.Module):
            self.modules.append(item)
        elif isinstance(item, type):
            return _members(item)
        elif isinstance(item, FunctionType):
            return self._used_by(item)
        elif isinstance(item, weakref.ref):
            return (item(),)
        elif not isinstance(item, (Tensor, ModuleType, CodeType)):
            return gc.get_referents(item)
        return ()

    def _used_by(self, function: FunctionType) -> Iterator[Any]:
        yield from (function.__closure__, function.__defaults__, function.__kwdefaults__, vars(function))
        if not _is_library(function.__module__):
            names = _names(function.__code__)
            self.anything |= not names.isdisjoint(_ANYTHING)
            yield from _named(names, function.__globals__)


def _members(cls: type) -> Iterator[Any]:
    for base in cls.__mro__:
        if not _is_library(base.__module__):
            yield from (value for name, value in vars(base).items() if name not in _OUTSIDE)


def _named(names: set[str], namespace: dict[str, Any]) -> Iterator[Any]:
    """What global names stand for, those of imported modules too."""
    seen, pending = set[int](), [namespace, sys.modules]
    while pending:
        space = pending.pop()
        seen.add(id(space))
        for value in (space[name] for name in names & space.keys()):
            if not isinstance(value, ModuleType):
                yield value
            elif not _is_library(value.__name__) and id(vars(value)) not in seen:
                pending.append(vars(value))


def _names(code: CodeType) -> set[str]:
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)


def _is_library(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in _LIBRARIES
