"""Scopes: what is active while a model runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from elasticnas.axes.known import Known
from elasticnas.axes.probabilities import by_choice
from elasticnas.axes.quantity import Choice, Projection, Quantity, SpaceFacts
from elasticnas.axes.size import EXTRACTING, Axis, Weighted
from elasticnas.errors import ArchitectureError, AxisError

__all__ = ["Axes", "Frame", "Masked", "Relaxed", "Sliced", "open_scopes", "reopen"]

_REMEMBERED = 64  # architectures whose sizes are kept: the latest


class Frame(Protocol):
    """What one scope makes active. Never changed once made."""

    known: Known

    def value(self, quantity: Quantity) -> Any:
        """The active value of a quantity, or a Weighted."""


class Sliced:
    """One architecture; axes are ints."""

    def __init__(self, arch: Any) -> None:
        self.arch, self.known = arch, Known()

    def value(self, quantity: Quantity) -> Any:
        """The architecture's own value."""
        return self.known.plain(quantity, lambda: quantity.getter(self.arch))


class Masked:
    """One architecture for all samples, or one per sample; axes are 0/1 masks."""

    def __init__(self, space: Any, quantities: Sequence[Quantity], archs: Sequence[Any], per_sample: bool) -> None:
        self.known = Known()
        self._archs, self._per_sample = archs, per_sample
        # made here, not while the model runs: a compiled graph then takes the weights as inputs
        self._weights = {quantity.name: self._one_hot(quantity) for quantity in quantities}
        indices = [space.indices(arch) for arch in archs]
        self._chosen = {c.name: self._rows(c, [index[c.name] for index in indices]) for c in space.choice_list()}

    def _rows(self, choice: Choice, positions: list[int]) -> Tensor:
        one_hot = torch.eye(len(choice.options))[positions]
        return one_hot if self._per_sample else one_hot[0]

    def _one_hot(self, quantity: Quantity) -> Tensor:
        quantity.prepare()  # now, for the same reason
        weights = quantity.one_hot(self._archs)
        return weights if self._per_sample else weights[0]

    def value(self, quantity: Quantity) -> Any:
        """Weights that are 1 at the value of the architecture, ``(options,)`` or ``(B, options)``."""
        return self.known.tensor(quantity, lambda: self._value(quantity))

    def _value(self, quantity: Quantity) -> Weighted:
        weights = self._weights.get(quantity.name)
        return Weighted(quantity, self._one_hot(quantity) if weights is None else weights)

    def relaxed(self) -> "Relaxed":
        """The same as probabilities that are 0 and 1."""
        return self.known.plain("relaxed", lambda: Relaxed(self._chosen, {}))


class Relaxed:
    """Probabilities over the options of some choices; the others, and those narrowed, are fixed."""

    def __init__(self, probabilities: dict[str, Tensor], fixed: dict[str, int]) -> None:
        self.known = Known(probabilities.values())
        self.probabilities, self.fixed = probabilities, fixed

    def value(self, quantity: Quantity) -> Any:
        """A plain value where every choice behind it is fixed, else weights with gradients to the probabilities."""
        return self.known.tensor(quantity, lambda: self._value(quantity))

    def _value(self, quantity: Quantity) -> Any:
        if all(choice.name in self.fixed for choice in quantity.choices):
            indices = tuple(self.fixed[choice.name] for choice in quantity.choices)
            if indices not in quantity.by_indices:
                raise ArchitectureError(f"no architecture has the options {indices} of {quantity.name}")
            return quantity.by_indices[indices]
        return Weighted(quantity, quantity.weights([self._of(choice) for choice in quantity.choices]))

    def _of(self, choice: Choice) -> Tensor:
        if choice.name not in self.fixed:
            return self.probabilities[choice.name]
        like = next(iter(self.probabilities.values()))
        one_hot = torch.zeros(len(choice.options), dtype=like.dtype, device=like.device)
        one_hot[self.fixed[choice.name]] = 1
        return one_hot

    def narrowed(self, choice: Choice, index: int) -> "Relaxed":
        """The same, with one choice fixed to an option."""
        return self.known.plain((choice, index), lambda: self._narrowed(choice, index))

    def _narrowed(self, choice: Choice, index: int) -> "Relaxed":
        probabilities = {name: value for name, value in self.probabilities.items() if name != choice.name}
        return Relaxed(probabilities, {**self.fixed, choice.name: index})


class Unmasked:
    """Another frame whose masked axes are full instead: every unit is there, and none is attenuated."""

    def __init__(self, frame: Frame) -> None:
        self.known = Known(frame.known.sources)
        self._frame = frame

    def value(self, quantity: Quantity) -> Any:
        """The frame's value; the largest option where it is masked."""
        value = self._frame.value(quantity)
        sized = all(isinstance(option, int) for option in quantity.options)
        return max(quantity.options) if isinstance(value, Weighted) and sized else value


class Axes:
    """All sizes of a space as axes, one attribute per field and per property, and the scopes they follow.

    ``axes.hidden`` is an Axis, a per-layer field a tuple of axes, a nested space a group with its own attributes.
    A property is examined when its axis is first used. The state is a plain object: whatever thread runs the model sees
    the scope that is open.

    Args:
        space: The Space class.
        info: Its choices and properties.
    """

    def __init__(self, space: Any, info: SpaceFacts) -> None:
        self._space, self._info = space, info
        self._frames: list[Frame] = []
        self._slices: dict[Any, Sliced] = {}
        self._default: Sliced | None = None
        self._named = {name: Axis(self, quantity) for name, quantity in info.quantities.items()}
        self._derived: dict[str, tuple[Axis, Any]] = {}
        self._used: dict[str, Any] = {}
        self._tree = _tree(self, self._named)

    @property
    def space(self) -> Any:
        """The Space class these axes belong to."""
        return self._space

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"Axes has no attribute {name!r}")
        found = self._tree[name] if name in self._tree else self._of_property(name)
        if found is None:
            known = sorted({*self._tree, *(p for p in self._info.properties if "." not in p)})
            raise AttributeError(f"{self._space.__name__} has no size {name!r}; it has {known}")
        return found

    def _of_property(self, name: str) -> Any:
        """The axis of a property, or the axes of a tuple of sizes; None for what is no size."""
        if name in self._info.properties and name not in self._used:
            axes = {label: Axis(self, quantity) for label, quantity in self._info.derived(name).items()}
            self._named |= axes
            if axes:  # the entries of a tuple are named by their positions
                self._used[name] = axes[name] if name in axes else tuple(axes.values())
        return self._used.get(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._tree, *(name for name in self._info.properties if "." not in name)]

    def __repr__(self) -> str:
        unused = (name for name in self._info.properties if name not in self._used)
        return f"Axes({self._space.__name__}: {', '.join([*map(repr, self._named.values()), *unused])})"

    def named(self, name: str) -> Axis:
        """The axis of a dotted name such as ``encoder.hidden`` or ``inner.0``."""
        for owner in (name, name.rpartition(".")[0]):
            if name not in self._named:
                self._of_property(owner)
        if name not in self._named:
            raise AxisError(f"{self._space.__name__} has no axis {name!r}; it has {sorted(self._named)}")
        return self._named[name]

    def all(self) -> list[Axis]:
        """The axes of the choices, of the properties used so far, and those divided from others."""
        return [*self._named.values(), *(axis for axis, _ in self._derived.values())]

    def derive(
        self,
        name: str,
        choices: tuple[Choice, ...],
        getter: Callable[[Any], Any],
        projection: Projection,
        *parts: Any,
    ) -> Axis:
        """An axis computed from others, made once per name."""
        if name not in self._derived:
            self._derived[name] = (Axis(self, Quantity(name, choices, getter, projection)), parts)
        return self._derived[name][0]

    def origin(self, axis: Axis) -> tuple[Any, ...]:
        """How to find an axis again after pickling: its name, or the parts it is divided from."""
        return ("divide", *self._derived[axis.name][1]) if axis.name in self._derived else (axis.name,)

    @contextmanager
    def at(self, target: Any, masked: bool = False) -> Iterator["Axes"]:
        """Make an architecture active for a scope; scopes nest and always restore.

        Args:
            target: An architecture; a list of architectures, one per sample of the batch (masked); or a mapping
                from choice names to probabilities over their options (soft masks). A batch of another size than
                the list raises AxisError in the modules; one of 1 is shared by all samples.
            masked: Full-size tensors that are exactly 0 beyond the active units, instead of slices.

        Raises:
            ArchitectureError: An architecture of another space, or probabilities that do not fit the choices,
                are negative or not finite.
        """
        with self.open(self._frame_for(target, masked)):
            yield self

    @contextmanager
    def open(self, frame: Frame) -> Iterator[None]:
        """Make a frame active for a scope."""
        self._frames.append(frame)
        _OPEN.append(self)
        try:
            yield
        finally:
            self._frames.pop()
            _OPEN.remove(self)

    def frame(self) -> Frame:
        """What is active now; outside every scope, the largest architecture."""
        if not torch.compiler.is_dynamo_compiling() and _graph_task() != -1 and not _REOPENED:
            raise AxisError(
                "an elastic module is being run again in backward, where its scope may have closed: "
                "checkpoint it by elasticnas.nn.checkpoint instead of torch.utils.checkpoint"
            )
        if self._frames:
            return self._frames[-1]
        if self._default is None:
            self._default = Sliced(self._space.largest())
        return self._default

    def current(self) -> Any:
        """The architecture of the innermost slice scope, or the largest outside every scope."""
        frame = self.frame()
        if isinstance(frame, Sliced):
            return frame.arch
        raise AxisError("this needs a slice scope (axes.at(arch)); the open one holds masks")

    def narrowed(self, choice: Choice, index: int) -> Any:
        """A scope in which one choice of an open mask scope is fixed to an option: its axes are sliced."""
        frame = self.frame()
        assert isinstance(frame, (Masked, Relaxed)), "a slice scope has nothing left to narrow"
        relaxed = frame if isinstance(frame, Relaxed) else frame.relaxed()
        return self.open(relaxed.narrowed(choice, index))

    def unmasked(self) -> Any:
        """A scope in which masked axes are full, for what feeds candidates that are each sliced and mixed later."""
        frame = self.frame()
        return self.open(frame.known.plain("unmasked", lambda: Unmasked(frame)))

    def _frame_for(self, target: Any, masked: bool) -> Frame:
        if isinstance(target, Mapping):
            return self._relaxed(target)
        if isinstance(target, (list, tuple)):
            if not target:
                raise ArchitectureError("axes.at([]) has no architecture: give one per sample of the batch")
            return self._masked([self._checked(arch) for arch in target], per_sample=True)
        arch = self._checked(target)
        return self._masked([arch], per_sample=False) if masked else self._sliced(arch)

    def _masked(self, archs: Sequence[Any], per_sample: bool) -> Masked:
        return Masked(self._space, [axis.quantity for axis in self.all()], archs, per_sample)

    def _sliced(self, arch: Any) -> Sliced:
        """The same frame as the last times this architecture was in scope: its sizes are known there."""
        if torch.compiler.is_dynamo_compiling():
            return Sliced(arch)
        frame = self._slices.pop(arch, None)
        # architectures may be equal and different: 1 == True
        if frame is None or (frame.arch is not arch and self._space.indices(frame.arch) != self._space.indices(arch)):
            frame = Sliced(arch)
        self._slices[arch] = frame
        if len(self._slices) > _REMEMBERED:
            self._slices.pop(next(iter(self._slices)), None)
        return frame

    def _checked(self, arch: Any) -> Any:
        if not isinstance(arch, self._space):
            raise ArchitectureError(
                f"axes.at({arch!r}): expected an architecture of {self._space.__name__}, got {type(arch).__name__}"
            )
        return arch

    def _relaxed(self, target: Mapping[str, Any]) -> Relaxed:
        probabilities = by_choice(target, self._space.choice_list())
        largest = self._space.indices(self._space.largest())
        return Relaxed(probabilities, {name: index for name, index in largest.items() if name not in probabilities})

    def __copy__(self) -> "Axes":
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        return self.current() if EXTRACTING in memo else self

    def __reduce__(self) -> Any:
        made_by = self._space.made_by
        return (_restore_axes, (self._space,)) if made_by is None else (_remake_axes, made_by)


class _Group:
    """The axes of a nested space."""

    def __init__(self, axes: Axes, prefix: str, tree: dict[str, Any]) -> None:
        self.__dict__.update(tree)
        self.__dict__["_place"] = (axes, prefix)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        axes, prefix = self._place
        if (found := axes._of_property(f"{prefix}.{name}")) is None:
            raise AttributeError(f"{axes.space.__name__}.{prefix} has no size {name!r}; it has {dir(self)}")
        return found

    def __dir__(self) -> list[str]:
        axes, prefix = self._place
        below = (name.removeprefix(f"{prefix}.") for name in axes._info.properties if name.startswith(f"{prefix}."))
        return sorted(
            {*(name for name in vars(self) if name != "_place"), *(name for name in below if "." not in name)}
        )


def _tree(axes: Axes, named: Mapping[str, Axis]) -> dict[str, Any]:
    """Nested groups and tuples from dotted names; numbers are positions in a tuple."""
    tree: dict[str, Any] = {}
    for name, axis in named.items():
        *path, last = name.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = axis

    def close(node: Any, prefix: str) -> Any:
        if not isinstance(node, dict):
            return node
        if all(key.isdigit() for key in node):
            return tuple(node[key] for key in sorted(node, key=int))
        return _Group(axes, prefix, {key: close(value, f"{prefix}.{key}") for key, value in node.items()})

    return {key: close(value, key) for key, value in tree.items()}


def _restore_axes(space: Any) -> Axes:
    axes: Axes = space.axes()
    return axes


def _remake_axes(make: Callable[..., Any], arguments: tuple[Any, ...]) -> Axes:
    return _restore_axes(make(*arguments))


_OPEN: list[Axes] = []
_REOPENED: list[bool] = []


def open_scopes() -> list[tuple[Axes, Frame]]:
    """The scopes open now, innermost of each Axes: what a function run later must see again."""
    return [(axes, axes._frames[-1]) for axes in dict.fromkeys(_OPEN)]


@contextmanager
def reopen(scopes: Sequence[tuple[Axes, Frame]]) -> Iterator[None]:
    """Open captured scopes again, as the backward pass of a checkpointed block does."""
    with ExitStack() as stack:
        for axes, frame in scopes:
            stack.enter_context(axes.open(frame))
        _REOPENED.append(True)
        try:
            yield
        finally:
            _REOPENED.pop()


_graph_task: Callable[[], int] = getattr(torch._C, "_current_graph_task_id", lambda: -1)
"""The backward pass that the autograd engine is running on this thread; -1 for none."""
