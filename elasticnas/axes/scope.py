"""Axes: all sizes of a space, and the scopes that they follow."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch

from elasticnas.axes.frames import Frame, Masked, Relaxed, Sliced
from elasticnas.axes.probabilities import by_choice
from elasticnas.axes.quantity import Projection, Quantity
from elasticnas.axes.size import EXTRACTING, Axis, Size, SizeLike
from elasticnas.axes.stack import Scope, ScopeStack
from elasticnas.errors import ArchitectureError, AxisError

__all__ = ["Axes"]

_REMEMBERED = 64  # architectures whose sizes are kept: the latest


class Axes:
    """All sizes of a space as axes, one attribute per field and per property, and the scopes they follow.

    ``axes.hidden`` is an Axis, a per-layer field a tuple of axes, a nested space a group with its own attributes.
    Every thread and asyncio task opens its own scopes.

    Attributes:
        space: The Space class these axes belong to.
        scopes: The open scopes.
    """

    def __init__(self, space: Any, quantities: Mapping[str, Quantity], projection: Projection) -> None:
        self.space, self._projection = space, projection
        self.scopes = ScopeStack(space.__name__, lambda: Sliced(space.largest()))
        self._slices: dict[Any, Sliced] = {}
        self._lock = threading.Lock()
        self._named = {name: Axis(self, quantity) for name, quantity in quantities.items()}
        self._derived: dict[str, tuple[Axis, tuple[SizeLike, ...]]] = {}
        self._tree = _tree(self._named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._tree:
            known = [] if name.startswith("_") else sorted(self._tree)
            raise AttributeError(f"{self.space.__name__ if known else 'Axes'} has no size {name!r}; it has {known}")
        return self._tree[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._tree]

    def __repr__(self) -> str:
        return f"Axes({self.space.__name__}: {', '.join(map(repr, self._named.values()))})"

    def named(self, name: str) -> Axis:
        """The axis of a dotted name such as ``encoder.hidden`` or ``inner.0``."""
        if name not in self._named:
            raise AxisError(f"{self.space.__name__} has no axis {name!r}; it has {sorted(self._named)}")
        return self._named[name]

    def all(self) -> list[Axis]:
        """Every axis, the derived ones included."""
        return [*self._named.values(), *(axis for axis, _ in self._derived.values())]

    def derive(self, name: str, parts: tuple[SizeLike, ...], getter: Callable[[Any], int]) -> Axis:
        """An axis computed from the choices behind others, made once per name."""
        if name not in self._derived:
            choices = dict.fromkeys(
                choice
                for part in parts
                if isinstance(part, Size)
                for axis in part.leaves
                for choice in axis.quantity.choices
            )
            self._derived[name] = (Axis(self, Quantity(name, tuple(choices), getter, self._projection)), parts)
        return self._derived[name][0]

    def origin(self, axis: Axis) -> tuple[Any, ...]:
        """How to find an axis again after pickling: its name, or the parts it is divided from."""
        return ("divide", *self._derived[axis.name][1]) if axis.name in self._derived else (axis.name,)

    def at(self, arch: Any) -> Scope:
        """A scope in which the sizes are those of an architecture: weights are sliced.

        Scopes nest and always restore.

        Raises:
            ArchitectureError: It is no valid architecture of the space.
        """
        if isinstance(arch, Mapping):
            raise ArchitectureError(f"axes.at({arch!r}): probabilities are for axes.relaxed")
        if isinstance(arch, (list, tuple)):
            raise ArchitectureError("axes.at takes one architecture: for one per sample of a batch use axes.masked")
        return self.scopes.open(self._sliced(self._checked(arch, "at")), self)

    def masked(self, archs: Any) -> Scope:
        """A scope with tensors of full size that are exactly 0 beyond the active units.

        Args:
            archs: An architecture; or a list of them, one per sample of the batch: a batch of another size raises
                AxisError in the modules, and what has a batch of 1 is shared by all samples.

        Raises:
            ArchitectureError: One is no valid architecture of the space, or the list is empty.
        """
        per_sample = isinstance(archs, (list, tuple))
        if isinstance(archs, Mapping):
            raise ArchitectureError(f"axes.masked({archs!r}): probabilities are for axes.relaxed")
        if per_sample and not archs:
            raise ArchitectureError("axes.masked([]) has no architecture: give one per sample of the batch")
        checked = [self._checked(arch, "masked") for arch in (archs if per_sample else [archs])]
        quantities = [axis.quantity for axis in self.all()]
        return self.scopes.open(Masked(self.space, quantities, checked, per_sample), self)

    def relaxed(self, probabilities: Mapping[str, Any]) -> Scope:
        """A scope with soft masks, in one pass of full size: the weighted sum of the options' masks, with gradients.

        Args:
            probabilities: By choice name, ``(options,)`` or ``(B, options)``; a per-layer field may be one
                ``(layers, options)``, a nested space a mapping. Choices that are left out are at the largest.

        Raises:
            ArchitectureError: They do not fit the choices, are negative or not finite.
        """
        if not isinstance(probabilities, Mapping):
            raise ArchitectureError(
                f"axes.relaxed({probabilities!r:.100}): give probabilities over the options by choice name, such as "
                f"{{{self.space.choice_list()[0].name!r}: ...}}; architectures are for axes.at and axes.masked"
            )
        given = by_choice(probabilities, self.space.choice_list())
        largest = self.space.indices(self.space.largest())
        fixed = {name: index for name, index in largest.items() if name not in given}
        return self.scopes.open(Relaxed(given, fixed), self)

    def current(self) -> Any:
        """The architecture of the innermost slice scope, or the largest outside every scope."""
        frame: Frame = self.scopes.frame()
        if isinstance(frame, Sliced):
            return frame.arch
        raise AxisError("this needs a slice scope (axes.at(arch)); the open one holds masks")

    def _sliced(self, arch: Any) -> Sliced:
        """The same frame as the last times this architecture was in scope: its sizes are known there."""
        if torch.compiler.is_dynamo_compiling():
            return Sliced(arch)
        with self._lock:
            frame = self._slices.pop(arch, None)
            # architectures may be equal and different: 1 == True
            if frame is None or (frame.arch is not arch and self._indices(frame.arch) != self._indices(arch)):
                frame = Sliced(arch)
            self._slices[arch] = frame
            if len(self._slices) > _REMEMBERED:
                self._slices.pop(next(iter(self._slices)))
        return frame

    def _indices(self, arch: Any) -> Mapping[str, int]:
        indices: Mapping[str, int] = self.space.indices(arch)
        return indices

    def _checked(self, arch: Any, scope: str) -> Any:
        if not isinstance(arch, self.space):
            raise ArchitectureError(
                f"axes.{scope}({arch!r}): expected an architecture of {self.space.__name__}, got {type(arch).__name__}"
            )
        return arch

    def __copy__(self) -> "Axes":
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        return self.current() if EXTRACTING in memo else self

    def __reduce__(self) -> Any:
        made_by = self.space.made_by
        return (_restore_axes, (self.space,)) if made_by is None else (_remake_axes, made_by)


class _Group:
    """The axes of a nested space."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.__dict__.update(tree)


def _tree(named: Mapping[str, Axis]) -> dict[str, Any]:
    """Nested groups and tuples from dotted names; numbers are positions in a tuple."""
    tree: dict[str, Any] = {}
    for name, axis in named.items():
        *path, last = name.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = axis

    def close(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        if all(key.isdigit() for key in node):
            return tuple(close(node[key]) for key in sorted(node, key=int))
        return _Group({key: close(value) for key, value in node.items()})

    return {key: close(value) for key, value in tree.items()}


def _restore_axes(space: Any) -> Axes:
    axes: Axes = space.axes()
    return axes


def _remake_axes(make: Callable[..., Any], arguments: tuple[Any, ...]) -> Axes:
    return _restore_axes(make(*arguments))
