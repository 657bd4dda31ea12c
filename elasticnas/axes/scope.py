"""Axes: all sizes of a space as axes, and the scopes that set their active values."""

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
from elasticnas.errors import ArchitectureError, AxisError, UnknownNameError, did_you_mean, short_repr

__all__ = ["Axes"]

_MAX_CACHED = 64  # frames kept: those of the most recently used architectures


class Axes:
    """All sizes of a space as axes, one attribute per field and per property, and the scopes that set them.

    ``axes.hidden`` is an Axis, a per-layer field a tuple of axes, a nested space a group with its own attributes.
    A property is evaluated when its axis is first used. Every thread and asyncio task opens its own scopes.

    Args:
        space: The Space class.
        info: Its choices and properties.

    Attributes:
        space: The Space class.
        scopes: The open scopes.
    """

    space: Any
    scopes: ScopeStack

    def __init__(self, space: Any, info: SpaceFacts) -> None:
        self.space, self._info = space, info
        self.scopes = ScopeStack(space.__name__, lambda: Sliced(space.largest()))
        self._sliced_frames: dict[Any, Sliced] = {}
        self._lock = threading.Lock()
        self._named = {name: Axis(self, quantity) for name, quantity in info.quantities.items()}
        self._derived: dict[str, tuple[Axis, tuple[SizeLike, ...]]] = {}
        self._property_axes: dict[str, Any] = {}
        self._tree = tree(self, self._named)

    if not TYPE_CHECKING:  # hidden from type checkers, which would accept every misspelt name

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
                f"axes.{name} = {short_repr(value)}: axes hold no values; open axes.at(arch) with an architecture of "
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
        unused = (name for name in self._info.properties if name not in self._property_axes)
        return f"Axes({self.space.__name__}: {', '.join([*map(repr, self._named.values()), *unused])})"

    def properties(self) -> tuple[str, ...]:
        """Return the dotted names of the properties that may be sizes."""
        return self._info.properties

    def of_property(self, name: str) -> Any:
        """Return the axis of a property, or the axes of a tuple of sizes; None if it is not a size."""
        if name in self._info.properties and name not in self._property_axes:
            axes = {label: Axis(self, quantity) for label, quantity in self._info.derived(name).items()}
            self._named |= axes
            if axes:  # the entries of a tuple have their positions as names
                self._property_axes[name] = axes[name] if name in axes else tuple(axes.values())
        return self._property_axes.get(name)

    def named(self, name: str) -> Axis:
        """Return the axis with a dotted name such as ``encoder.hidden`` or ``inner.0``.

        Raises:
            AxisError: There is none.
        """
        for owner in (name, name.rpartition(".")[0]):
            if name not in self._named:
                self.of_property(owner)
        if name not in self._named:
            raise AxisError(f"{self.space.__name__} has no axis {name!r}{did_you_mean(name, self._named)}")
        return self._named[name]

    def all(self) -> list[Axis]:
        """Return the axes of the choices and of the properties used so far, and those derived from other axes."""
        return [*self._named.values(), *(axis for axis, _ in self._derived.values())]

    def derive(self, name: str, parts: tuple[SizeLike, ...], getter: Callable[[Any], int]) -> Axis:
        """Return the axis of this name that is computed from other sizes; make it at the first call.

        An impossible one, such as a division with a remainder, raises here and leaves nothing behind.

        Args:
            name: Its name.
            parts: The sizes that it is computed from.
            getter: Returns its value for an architecture.
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
        """Return how to find an axis after unpickling: its name, or the two sizes whose quotient it is."""
        return ("divide", *self._derived[axis.name][1]) if axis.name in self._derived else (axis.name,)

    @usage("axes.at(arch), with an architecture of the space such as Sizes(hidden=64, depth=2)", ArchitectureError)
    def at(self, arch: object) -> Scope:
        """Return a scope in which the sizes are those of an architecture: weights are sliced.

        Scopes nest; closing one restores the one around it.

        Raises:
            ArchitectureError: It is not a valid architecture of the space.
        """
        if isinstance(arch, Mapping):
            raise self._of_mapping("at", arch)
        if isinstance(arch, (list, tuple)):
            raise ArchitectureError("axes.at takes one architecture: for one per sample of a batch use axes.masked")
        return self.scopes.open(self._sliced(arch), self)

    @usage("axes.masked(arch), or axes.masked([arch, ...]) with one per sample of the batch", ArchitectureError)
    def masked(self, archs: object) -> Scope:
        """Return a scope in which tensors have their full size and are exactly 0 beyond the active units.

        Args:
            archs: An architecture, or a list of them, one per sample of the batch. With a list, modules raise
                AxisError for another batch size; a tensor with a batch of 1 is shared by all samples.

        Raises:
            ArchitectureError: One is not a valid architecture of the space, or the list is empty.
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
        """Return a scope with soft masks over the full size: weighted sums of the options' masks, with gradients.

        Args:
            probabilities: By choice name, ``(options,)`` or ``(B, options)``; a per-layer field may be one
                ``(layers, options)``, a nested space a mapping. Choices not given have the value of the largest
                architecture.

        Raises:
            ArchitectureError: They do not match the choices, are negative or not finite.
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
        return ArchitectureError(f"axes.{scope}({short_repr(given)}): {instead}")

    def current(self) -> Any:
        """Return the architecture of the innermost scope, or the largest if no scope is open.

        Raises:
            AxisError: The innermost scope is not a slice scope.
        """
        frame: Frame = self.scopes.frame()
        if isinstance(frame, Sliced):
            return frame.arch
        raise AxisError("this needs a slice scope (axes.at(arch)); the open one holds masks")

    def _sliced(self, arch: Any) -> Sliced:
        """Return the frame of an architecture, reused from earlier scopes since its caches hold the sizes."""
        if torch.compiler.is_dynamo_compiling():
            return Sliced(arch)
        if not isinstance(arch, self.space):
            self._info.check(arch)
        with self._lock:
            frame = self._sliced_frames.pop(arch, None)
            # architectures that compare equal may differ: 1 == True
            if frame is None or (frame.arch is not arch and self._indices(frame.arch) != self._indices(arch)):
                self._info.check(arch)  # an instance made by model_copy has not been validated
                frame = Sliced(arch)
            self._sliced_frames[arch] = frame
            if len(self._sliced_frames) > _MAX_CACHED:
                self._sliced_frames.pop(next(iter(self._sliced_frames)))
        return frame

    def _indices(self, arch: Any) -> Mapping[str, int]:
        indices: Mapping[str, int] = self.space.indices(arch)
        return indices

    def __copy__(self) -> "Axes":
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        return self.current() if EXTRACTING in memo else self

    def __reduce__(self) -> Any:
        pickle_factory = self.space.pickle_factory
        return (_restore_axes, (self.space,)) if pickle_factory is None else (_restore_made_axes, pickle_factory)


def _restore_axes(space: Any) -> Axes:
    axes: Axes = space.axes()
    return axes


def _restore_made_axes(make: Callable[..., Any], arguments: tuple[Any, ...]) -> Axes:
    return _restore_axes(make(*arguments))
