"""Branches: a set of architectures that together run every part of a model."""

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Any

from torch import nn

from elasticnas.axes import Axes, Axis, Choice
from elasticnas.elastic.model import ElasticModel
from elasticnas.elastic.probe import valid
from elasticnas.errors import ArchitectureError
from elasticnas.nn import Mixture

__all__ = ["Branches"]

_COMBINATIONS = 64


class Branches:
    """The largest architecture, and those that differ from it in the modules they run rather than in sizes.

    These have every combination of options of the branch choices, which have non-integer options or choose among the
    candidates of a Mixture. If there are more than 64 combinations, each option is set by itself instead. If a rule of
    the space requires it, other choices change too. A field that chooses the layers of an elastified model is no branch
    choice: without a layer, an architecture runs nothing that the largest does not run.

    Args:
        model: A supernet.
        axes: Its axes.

    Attributes:
        archs: The architectures, the largest first.
    """

    def __init__(self, model: nn.Module, axes: Axes) -> None:
        self._axes, space = axes, axes.space
        mixed = {
            module.choice.name
            for module in model.modules()
            if isinstance(module, Mixture) and not module.shared and isinstance(module.choice, Axis)
        }
        kept = {field for m in model.modules() if isinstance(m, ElasticModel) for field in m.probing.layers.fields}
        branching = [c for c in space.choice_list() if c.name in mixed or not _is_size(c)]
        self._choices: list[Choice] = [c for c in branching if c.name.rpartition(".")[0] not in kept]
        self._space, self._base = space, space.assignment(space.largest())
        self.archs: list[Any] = list(dict.fromkeys([space.largest(), *self._variants()]))

    def with_full_axis(self, axis: str) -> list[Any]:
        """Return the architectures in which an axis has its full size."""
        named = {each.name: each.quantity for each in self._axes.all()}
        if axis in named:
            getter = named[axis].getter
            return [arch for arch in self.archs if getter(arch) == getter(self._space.largest())]
        # a factor that is not an axis of the space: all sizes must be the largest
        sizes = [choice.name for choice in self._space.choice_list() if _is_size(choice)]
        own = ((arch, self._space.assignment(arch)) for arch in self.archs)
        return [arch for arch, values in own if all(values[name] == self._base[name] for name in sizes)]

    def missing(self, archs: list[Any]) -> str | None:
        """Return an option that none of these architectures has, as text; None if there is none."""
        values = [self._space.assignment(arch) for arch in archs]
        for choice in self._choices:
            for option in choice.options:
                if all(value[choice.name] != option for value in values):
                    return f"{choice.name}={option!r}"
        return None

    def _variants(self) -> Iterator[Any]:
        if prod(len(choice.options) for choice in self._choices) <= _COMBINATIONS:
            for options in product(*(choice.options for choice in self._choices)):
                change = {choice.name: option for choice, option in zip(self._choices, options, strict=True)}
                try:
                    yield self._space.from_assignment({**self._base, **change})
                except ArchitectureError:
                    continue
        for choice in self._choices:
            for option in choice.options:
                arch = valid(self._space, self._base, {choice.name: option})
                if arch is not None:
                    yield arch


def _is_size(choice: Choice) -> bool:
    return all(isinstance(option, int) and not isinstance(option, bool) for option in choice.options)
