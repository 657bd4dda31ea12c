"""Reach: the sizes that a module may read in its forward, found from its attributes and its code."""

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
_REGISTRIES = ("_parameters", "_buffers", "_modules")  # tensors have no sizes, submodules are analysed separately
_IGNORED_METHODS = {"__init__", "__deepcopy__", "__repr__", "extra_repr", "plain"}  # not part of forward
_ANY_CHOICE = {
    "axes",
    "axes_of",
    "current",
    "eval",
    "exec",
    "frame",
    "globals",
    "open_scopes",
    "scopes",
    "sizes_of",
}
"""Names through which code can get the whole architecture from any module or size."""


class Reach:
    """The sizes that a module may read, without its registered submodules.

    Sizes are searched in its attributes and the objects they refer to, in its hooks, and, for code outside of known
    libraries, in the closures and global names of its methods and of the functions that they call.

    Args:
        module: A module of any class.

    Attributes:
        axes: Axes that it may read.
        modules: Modules that it may run although they are not registered as its submodules.
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
                seen[id(item)] = item  # keeps the object alive, so that its id is not reused
                pending.extend(self._expand(item))

    def _expand(self, item: Any) -> Iterable[Any]:
        if isinstance(item, Size):
            self.axes.update(item.leaves)
        elif isinstance(item, (Axes, Group)):
            self.axes.update(item.all())
        elif isinstance(item, nn.Module):
            self.modules.append(item)
        elif isinstance(item, type):
            return _members(item)
        elif isinstance(item, FunctionType):
            return self._globals_used_by(item)
        elif isinstance(item, weakref.ref):
            return (item(),)
        elif not isinstance(item, (Tensor, ModuleType, CodeType)):
            return gc.get_referents(item)
        return ()

    def _globals_used_by(self, function: FunctionType) -> Iterator[Any]:
        yield from (function.__closure__, function.__defaults__, function.__kwdefaults__, vars(function))
        if not _is_library(function.__module__):
            names = _names(function.__code__)
            self.anything |= not names.isdisjoint(_ANY_CHOICE)
            yield from _look_up(names, function.__globals__)


def _members(cls: type) -> Iterator[Any]:
    for base in cls.__mro__:
        if not _is_library(base.__module__):
            yield from (value for name, value in vars(base).items() if name not in _IGNORED_METHODS)


def _look_up(names: set[str], namespace: dict[str, Any]) -> Iterator[Any]:
    """Yield the objects that global names refer to, also in imported modules."""
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
