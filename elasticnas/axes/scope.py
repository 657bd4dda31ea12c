"""Axes: all sizes of a space, and the scopes that they follow."""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from elasticnas.axes.frames import Frame, Masked, Relaxed, Sliced
from elasticnas.axes.groups import tree
from elasticnas.axes.no_value import NoValueError
from elasticnas.axes.probabilities import by_choice
from elasticnas.axes.quantity import Quantity, SpaceFacts
from elasticnas.axes.size import EXTRACTING, Axis, Size, SizeLike
from elasticnas.axes.stack import Scope, ScopeStack
from elasticnas.calls import usage
from elasticnas.errors import ArchitectureError, AxisError, UnknownNameError, did_you_mean, shown

__all__ = ["Axes"]

_REMEMBERED = 64  # architectures whose sizes are kept: the latest


class Axes:
    """All sizes of a space as axes, one attribute per field and per property, and the scopes they follow.

    ``axes.hidden`` is an Axis, a per-layer field a tuple of axes, a nested space a group with its own attributes.
    A property is examined when its axis is first used. Every thread and asyncio task opens its own scopes.

    Args:
        space: The Space class.
        info: Its choices and properties.

    Attributes:
        space: The Space class these axes belong to.
        scopes: The open scopes.
    """

    space: Any
    scopes: ScopeStack

    def __init__(self, space: Any, info: SpaceFacts) -> None:
        self.space, self._info = space, info
        self.scopes = ScopeStack(space.__name__, lambda: Sliced(space.largest()))
        self._slices: dict[Any, Sliced] = {}
        self._lock = threading.Lock()
        self._named = {name: Axis(self, quantity) for name, quantity in info.quantities.items()}
        self._derived: dict[str, tuple[Axis, tuple[SizeLike, ...]]] = {}
        self._used: dict[str, Any] = {}
        self._tree = tree(self, self._named)

    if not TYPE_CHECKING:  # a checker that saw it would take every misspelt name

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(f"Axes has no attribute {name!r}")
            found = self._tree[name] if name in self._tree else self.of_property(name)
            if found is None:
                known = {*self._tree, *(each for each in self._info.properties if "." not in each)}
                raise UnknownNameError(f"{self.space.__name__} has no size {name!r}{did_you_mean(name, known)}")
            return found

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("_tree", ()):
            raise AxisError(
                f"axes.{name} = {shown(value)}: axes hold no values; open axes.at(arch) with an architecture of "
                f"{self.space.__name__} that has this one"
            )
        super().__setattr__(name, value)

    def __getitem__(self, name: object) -> NoReturn:
        raise NoValueError(
            f"axes[{name!r}]: axes are attributes, axes.hidden; axes.named('encoder.hidden') takes a name"
        )

    def __iter__(self) -> Iterator[Axis]:
        raise NoValueError("axes are attributes, and not a sequence: axes.all() is the list of them")

    def __len__(self) -> int:
        raise NoValueError("axes are attributes, and have no length: axes.all() is the list of them")

    def __bool__(self) -> bool:
        return True

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._tree, *(name for name in self._info.properties if "." not in name)]

    def __repr__(self) -> str:
        unused = (name for name in self._info.properties if name not in self._used)
        return f"Axes({self.space.__name__}: {', '.join([*map(repr, self._named.values()), *unused])})"

    def properties(self) -> tuple[str, ...]:
        """Dotted names of the properties that may be sizes."""
        return self._info.properties

    def of_property(self, name: str) -> Any:
        """The axis of a property, or the axes of a tuple of sizes; None for what is no size."""
        if name in self._info.properties and name not in self._used:
            axes = {label: Axis(self, quantity) for label, quantity in self._info.derived(name).items()}
            self._named |= axes
            if axes:  # the entries of a tuple are named by their positions
                self._used[name] = axes[name] if name in axes else tuple(axes.values())
        return self._used.get(name)

    def named(self, name: str) -> Axis:
        """The axis of a dotted name such as ``encoder.hidden`` or ``inner.0``."""
        for owner in (name, name.rpartition(".")[0]):
            if name not in self._named:
                self.of_property(owner)
        if name not in self._named:
            raise AxisError(f"{self.space.__name__} has no axis {name!r}{did_you_mean(name, self._named)}")
        return self._named[name]

    def all(self) -> list[Axis]:
        """The axes of the choices, of the properties used so far, and those derived from others."""
        return [*self._named.values(), *(axis for axis, _ in self._derived.values())]

    def derive(self, name: str, parts: tuple[SizeLike, ...], getter: Callable[[Any], int]) -> Axis:
        """An axis computed from the choices behind others, made once per name.

        An impossible one, such as a division with a remainder, raises here and leaves nothing behind.
        """
        if name not in self._derived:
            choices = dict.fromkeys(
                choice
                for part in parts
                if isinstance(part, Size)
                for axis in part.leaves
                for choice in axis.quantity.choices
            )
            axis = Axis(self, Quantity(name, tuple(choices), getter, self._info.projection))
            _ = axis.options
            self._derived[name] = axis, parts
        return self._derived[name][0]

    def origin(self, axis: Axis) -> tuple[Any, ...]:
        """How to find an axis again after pickling: its name, or the parts it is divided from."""
        return ("divide", *self._derived[axis.name][1]) if axis.name in self._derived else (axis.name,)

    @usage("axes.at(arch), with an architecture of the space such as Sizes(hidden=64, depth=2)", ArchitectureError)
    def at(self, arch: object) -> Scope:
        """A scope in which the sizes are those of an architecture: weights are sliced.

        Scopes nest and always restore.

        Raises:
            ArchitectureError: It is no valid architecture of the space.
        """
        if isinstance(arch, Mapping):
            raise self._of_mapping("at", arch)
        if isinstance(arch, (list, tuple)):
            raise ArchitectureError("axes.at takes one architecture: for one per sample of a batch use axes.masked")
        return self.scopes.open(self._sliced(arch), self)

    @usage("axes.masked(arch), or axes.masked([arch, ...]) with one per sample of the batch", ArchitectureError)
    def masked(self, archs: object) -> Scope:
        """A scope with tensors of full size that are exactly 0 beyond the active units.

        Args:
            archs: An architecture; or a list of them, one per sample of the batch: a batch of another size raises
                AxisError in the modules, and what has a batch of 1 is shared by all samples.

        Raises:
            ArchitectureError: One is no valid architecture of the space, or the list is empty.
        """
        given = archs if isinstance(archs, (list, tuple)) else None
        if isinstance(archs, Mapping):
            raise self._of_mapping("masked", archs)
        if given is not None and not given:
            raise ArchitectureError("axes.masked([]) has no architecture: give one per sample of the batch")
        checked = [self._sliced(arch).arch for arch in ([archs] if given is None else given)]
        quantities = [axis.quantity for axis in self.all()]
        return self.scopes.open(Masked(self.space, quantities, checked, per_sample=given is not None), self)

    @usage("axes.relaxed({'hidden': probabilities over its options, ...})", ArchitectureError)
    def relaxed(self, probabilities: Mapping[str, Tensor | Mapping[str, object]]) -> Scope:
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

    def _of_mapping(self, scope: str, given: Mapping[Any, Any]) -> ArchitectureError:
        """The error of values or probabilities by name in place of an architecture."""
        choices = {choice.name: choice.options for choice in self.space.choice_list()}
        values = all(type(value) in (int, str, bool) for value in given.values())
        instead = "probabilities are for axes.relaxed"
        if values:
            missing = [f"{name}={choices[name][0]!r}" for name in choices if name not in given and "." not in name]
            fields = ", ".join([*(f"{name}={value!r}" for name, value in given.items()), *missing])
            instead = f"an architecture is an instance of its space, axes.{scope}({self.space.__name__}({fields}))"
        return ArchitectureError(f"axes.{scope}({shown(given)}): {instead}")

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
        if not isinstance(arch, self.space):
            self._info.check(arch)
        with self._lock:
            frame = self._slices.pop(arch, None)
            # architectures may be equal and different: 1 == True
            if frame is None or (frame.arch is not arch and self._indices(frame.arch) != self._indices(arch)):
                self._info.check(arch)  # a copy may have been given what no validator saw
                frame = Sliced(arch)
            self._slices[arch] = frame
            if len(self._slices) > _REMEMBERED:
                self._slices.pop(next(iter(self._slices)))
        return frame

    def _indices(self, arch: Any) -> Mapping[str, int]:
        indices: Mapping[str, int] = self.space.indices(arch)
        return indices

    def __copy__(self) -> "Axes":
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        return self.current() if EXTRACTING in memo else self

    def __reduce__(self) -> Any:
        made_by = self.space.made_by
        return (_restore_axes, (self.space,)) if made_by is None else (_remake_axes, made_by)


def _restore_axes(space: Any) -> Axes:
    axes: Axes = space.axes()
    return axes


def _remake_axes(make: Callable[..., Any], arguments: tuple[Any, ...]) -> Axes:
    return _restore_axes(make(*arguments))
