"""Probe: a model built for an architecture, of shapes only."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from torch import Tensor, nn

from elasticnas.axes import Axes
from elasticnas.elastic.depth import ChosenLayers
from elasticnas.errors import ArchitectureError

__all__ = ["Probe", "beyond", "tensors", "valid", "variants"]

_PER_CHOICE = 2  # builds for each choice, besides the largest


@dataclass(frozen=True)
class Probe:
    """A model built for an architecture, of shapes only."""

    arch: Any
    model: nn.Module
    layers: ChosenLayers

    @cached_property
    def changed(self) -> frozenset[str]:
        """The choices in which the architecture differs from the largest."""
        space: Any = type(self.arch)
        own, largest = space.assignment(self.arch), space.assignment(space.largest())
        return frozenset(name for name in largest if own.get(name) != largest[name])

    @cached_property
    def tensors(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Own name and shape of every tensor, by its name in the supernet."""
        return {self.layers.source(name, self.arch): (name, tuple(value.shape)) for name, value in tensors(self.model)}

    @cached_property
    def modules(self) -> dict[str, type]:
        """Class of every module, by its path."""
        return {path: type(module) for path, module in self.model.named_modules()}

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Numbers, texts and flags that modules and their configs hold, by dotted name."""
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


def variants(space: Any) -> Iterator[Any]:
    """Valid neighbours of the largest: a choice changed, another one with it where a rule demands that."""
    largest = space.largest()
    base = space.assignment(largest)
    seen = {largest}
    for choice in space.choice_list():
        others = [option for option in choice.options if option != base[choice.name]]
        if all(isinstance(option, int) for option in others):
            others.sort()
        wanted = [others[0], others[len(others) // 2]] if len(others) > 1 else others
        for option in dict.fromkeys(wanted[:_PER_CHOICE]):
            arch = valid(space, base, {choice.name: option})
            if arch is not None and arch not in seen:
                seen.add(arch)
                yield arch


def beyond(axes: Axes, archs: Sequence[Any]) -> Iterator[Any]:
    """Architectures that tell apart what neighbours of the largest do not: joint changes, axes that moved together."""
    seen = [*archs]
    if axes.space.smallest() not in seen:
        seen.append(axes.space.smallest())
        yield seen[-1]
    for first, second in combinations([axis.quantity for axis in axes.all() if axis.is_number], 2):
        if [first.getter(arch) for arch in seen] != [second.getter(arch) for arch in seen]:
            continue
        choices = tuple(dict.fromkeys((*first.choices, *second.choices)))
        archs_here = (arch for _, arch in axes.space.projections(choices))
        apart = next((arch for arch in archs_here if first.getter(arch) != second.getter(arch)), None)
        if apart is not None:
            seen.append(apart)
            yield apart


def valid(space: Any, base: Mapping[str, Any], change: dict[str, Any]) -> Any:
    """The architecture with one choice changed, and others where a rule demands that; None where there is none."""
    pairs = ({choice.name: option} for choice in space.choice_list() for option in choice.options)
    for other in ({}, *pairs):
        try:
            return space.from_assignment({**base, **other, **change})
        except ArchitectureError:
            continue
    # several move together: any architecture with the option
    (name, option), choices = next(iter(change.items())), space.choice_list()
    choice = next(choice for choice in choices if choice.name == name)
    position = choice.index(option)
    return next((a for (index,), a in space.projections((choice,)) if index == position), None)


def tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name, shared ones under each name."""
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)
