"""Probe: the shapes of the model of one architecture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from torch import Tensor, nn

from elasticnas.axes import Axes
from elasticnas.elastic.depth import ChosenLayers
from elasticnas.elastic.layouts import starred
from elasticnas.errors import ArchitectureError

__all__ = ["Probe", "beyond", "tensors", "valid", "variants"]

_PER_CHOICE = 2  # probes for each choice, besides the largest


@dataclass(frozen=True)
class Probe:
    """A model built for one architecture to inspect its shapes.

    Attributes:
        arch: The architecture.
        model: The model, whose weights have no values.
        layers: Rules for stacks of layers.
    """

    arch: Any
    model: nn.Module
    layers: ChosenLayers

    @cached_property
    def changed(self) -> frozenset[str]:
        """Names of the choices in which the architecture differs from the largest."""
        space: Any = type(self.arch)
        own, largest = space.assignment(self.arch), space.assignment(space.largest())
        return frozenset(name for name in largest if own.get(name) != largest[name])

    @cached_property
    def tensors(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name in this model and shape of every tensor, by its name in the supernet."""
        return {self.layers.source(name, self.arch): (name, tuple(value.shape)) for name, value in tensors(self.model)}

    @cached_property
    def sources(self) -> dict[str, str]:
        """Name in the supernet of every tensor, by its name in this model."""
        return {own: source for source, (own, _) in self.tensors.items()}

    @cached_property
    def traits(self) -> dict[str, tuple[Any, ...]]:
        """Classes and integers, such as numbers of heads, of the modules around a tensor in its layer, by its name."""
        integers = _integers(self.model)
        return {source: _traits(self.model, name, integers) for source, (name, _) in self.tensors.items()}

    @cached_property
    def modules(self) -> dict[str, type]:
        """Class of every module, by its path."""
        return {path: type(module) for path, module in self.model.named_modules()}

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Integers, strings, flags and tuples of modules and their configs, by dotted name."""
        found: dict[str, Any] = {}
        for path, module in self.model.named_modules():
            for name, value in vars(module).items():
                if name == "training":
                    continue
                if isinstance(value, (int, str, tuple)):
                    found[f"{path}.{name}".lstrip(".")] = value
                elif not name.startswith("_") and hasattr(value, "__dict__") and not isinstance(value, nn.Module):
                    plain = {k: v for k, v in vars(value).items() if isinstance(v, (int, str))}
                    found |= {f"{path}.{name}.{k}".lstrip("."): v for k, v in plain.items()}
        return found


def _traits(model: nn.Module, name: str, integers: Mapping[str, tuple[Any, ...]]) -> tuple[Any, ...]:
    path, found = name.split(".")[:-1], []
    for count in range(len(path), 0, -1):
        place = ".".join(path[:count])
        found.append((type(model.get_submodule(place)), integers[place]))
        if path[count - 1].isdigit():
            break
    return tuple(found)


def _integers(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    """Return the integer attributes of every module by its path, without flags, and without those that count layers."""
    found = {
        path: {key: value for key, value in vars(module).items() if type(value) is int}
        for path, module in model.named_modules(remove_duplicate=False)
    }
    groups: dict[str, list[str]] = {}
    for path in found:
        groups.setdefault(starred(f".{path}."), []).append(path)
    counting: dict[str, set[str]] = {}
    for paths in groups.values():
        for path in paths:
            counting[path] = {key for key in found[path] if _counts(key, paths, found)}
    return {
        path: tuple(sorted((key, value) for key, value in own.items() if key not in counting[path] and value > 1))
        for path, own in found.items()
    }


def _counts(key: str, paths: Sequence[str], found: Mapping[str, Mapping[str, int]]) -> bool:
    """Return whether an attribute grows with a number in the paths of modules."""
    if len(paths) < 2 or any(key not in found[path] for path in paths):
        return False
    numbers = [[int(part) for part in path.split(".") if part.isdigit()] for path in paths]
    values = [found[path][key] for path in paths]
    return len(set(values)) > 1 and any(
        len({value - own[place] for value, own in zip(values, numbers, strict=True)}) == 1
        for place in range(len(numbers[0]))
    )


def variants(space: Any) -> Iterator[Any]:
    """Yield valid neighbours of the largest architecture: one choice is changed, others only if a rule requires it."""
    largest = space.largest()
    base = space.assignment(largest)
    seen = {largest}
    for choice in space.choice_list():
        others = [option for option in choice.options if option != base[choice.name]]
        if all(isinstance(option, int) for option in others):
            others.sort()
        probed = [others[0], others[len(others) // 2]] if len(others) > 1 else others
        for option in dict.fromkeys(probed[:_PER_CHOICE]):
            arch = valid(space, base, {choice.name: option})
            if arch is not None and arch not in seen:
                seen.add(arch)
                yield arch


def beyond(axes: Axes, archs: Sequence[Any]) -> Iterator[Any]:
    """Yield architectures to distinguish axes that have equal values in all given ones, and the smallest one.

    Args:
        axes: The axes of the space.
        archs: The architectures so far.
    """
    seen = [*archs]
    if axes.space.smallest() not in seen:
        seen.append(axes.space.smallest())
        yield seen[-1]
    for first, second in combinations([axis.quantity for axis in axes.all() if axis.is_number], 2):
        if [first.getter(arch) for arch in seen] != [second.getter(arch) for arch in seen]:
            continue
        choices = tuple(dict.fromkeys((*first.choices, *second.choices)))
        archs_here = (arch for _, arch in axes.space.projections(choices))
        different = next((arch for arch in archs_here if first.getter(arch) != second.getter(arch)), None)
        if different is not None:
            seen.append(different)
            yield different


def valid(space: Any, base: Mapping[str, Any], change: dict[str, Any]) -> Any:
    """Return a valid architecture with one choice changed, others only if a rule requires it; None if impossible."""
    pairs = ({choice.name: option} for choice in space.choice_list() for option in choice.options)
    for other in ({}, *pairs):
        try:
            return space.from_assignment({**base, **other, **change})
        except ArchitectureError:
            continue
    # several choices must change together: take any architecture with the option
    (name, option), choices = next(iter(change.items())), space.choice_list()
    choice = next(choice for choice in choices if choice.name == name)
    position = choice.index(option)
    return next((a for (index,), a in space.projections((choice,)) if index == position), None)


def tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters and buffers by name, shared ones under each of their names."""
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)
