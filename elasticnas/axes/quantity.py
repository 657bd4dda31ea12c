"""Choices of a space, and the quantities that follow from them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor

from elasticnas.errors import ArchitectureError

__all__ = ["Choice", "Projection", "Quantity", "SpaceFacts"]

_PREPARED = 65_536  # combinations; of more, the matrix would fill the memory and is made only where it is needed

Projection = Callable[[tuple["Choice", ...]], Iterable[tuple[tuple[int, ...], Any]]]


@dataclass(frozen=True)
class Choice:
    """One decision of a search space: a name such as ``hidden``, ``inner.0`` or ``encoder.heads``, and its options."""

    name: str
    options: tuple[Any, ...]

    def index(self, value: Any) -> int:
        """Position of ``value`` among the options; bool and int are told apart.

        Raises:
            ArchitectureError: It is none of them.
        """
        for position, option in enumerate(self.options):
            if option == value and type(option) is type(value):
                return position
        raise ArchitectureError(f"{self.name} has no option {value!r}; its options are {list(self.options)}")


@dataclass(eq=False)
class Quantity:
    """A named value of every architecture, a field or a property, as a function of a few choices.

    Args:
        name: Its dotted name.
        choices: The choices it depends on.
        getter: Reads its value from an architecture.
        projection: Gives one architecture for every combination of the choices' options that some valid
            architecture has, with the option indices of the combination.
    """

    name: str
    choices: tuple[Choice, ...]
    getter: Callable[[Any], Any]
    projection: Projection = field(repr=False)

    @cached_property
    def combinations(self) -> list[tuple[tuple[int, ...], Any]]:
        """Option indices of each valid combination, and the value that follows."""
        return [(indices, self.getter(arch)) for indices, arch in self.projection(self.choices)]

    @cached_property
    def options(self) -> tuple[Any, ...]:
        """Distinct values over the valid architectures, integers ascending."""
        values = list(dict.fromkeys(value for _, value in self.combinations))
        if _are_numbers(values):
            values.sort()
        return tuple(values)

    @cached_property
    def is_number(self) -> bool:
        """Whether its values are integers (bool is none)."""
        return _are_numbers(self.options)

    @cached_property
    def by_indices(self) -> dict[tuple[int, ...], Any]:
        """The value for each valid combination of option indices."""
        return dict(self.combinations)

    @cached_property
    def prefixes(self) -> Tensor:
        """Prefix mask of every option, float ``(options, largest)``: row o has its first ``options[o]`` entries 1."""
        return (torch.arange(max(self.options)) < torch.tensor(self.options)[:, None]).float()

    @cached_property
    def _joint_to_options(self) -> Tensor:
        """0/1 matrix ``(combinations of indices, options)``; rows of impossible combinations are 0."""
        sizes = [len(choice.options) for choice in self.choices]
        matrix = torch.zeros(prod(sizes), len(self.options))
        column = {value: position for position, value in enumerate(self.options)}
        for indices, value in self.combinations:
            row = 0
            for index, size in zip(indices, sizes, strict=True):
                row = row * size + index
            matrix[row, column[value]] = 1
        return matrix

    def prepare(self) -> None:
        """Make what is worked out once, before a graph is traced: tracing cannot build architectures."""
        if prod(len(choice.options) for choice in self.choices) <= _PREPARED:
            _ = self.by_indices, self._joint_to_options
        if self.is_number:
            _ = self.prefixes

    def one_hot(self, archs: Sequence[Any]) -> Tensor:
        """Weights ``(len(archs), options)``, 1 at the value of each architecture."""
        position = {value: index for index, value in enumerate(self.options)}
        weights = torch.zeros(len(archs), len(self.options))
        for row, arch in enumerate(archs):
            weights[row, position[self.getter(arch)]] = 1
        return weights

    def weights(self, probabilities: Sequence[Tensor]) -> Tensor:
        """Probability of every option, ``(..., options)``, from those of the choices it depends on.

        The choices count as independent; combinations that no valid architecture has are left out and the rest
        is scaled to sum 1.
        """
        joint = probabilities[0]
        for following in probabilities[1:]:
            joint = (joint.unsqueeze(-1) * following.unsqueeze(-2)).flatten(-2)
        matrix = self._joint_to_options.to(joint)
        weights = (joint.unsqueeze(-1) * matrix).sum(-2)
        if len(self.combinations) < matrix.shape[0]:
            weights = weights / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
        return weights


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)


class SpaceFacts(Protocol):
    """What axes need to know of a space."""

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choices in order."""

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """One for every choice, by dotted name."""

    @property
    def properties(self) -> tuple[str, ...]:
        """Dotted names of the properties that may be sizes; none has been run."""

    def derived(self, name: str) -> Mapping[str, Quantity]:
        """The sizes that a property gives, by dotted name; the property is run at the first call."""

    def projection(self, choices: tuple[Choice, ...]) -> Iterable[tuple[tuple[int, ...], Any]]:
        """One architecture for every combination of these choices' options that some valid architecture has."""

    def check(self, arch: Any) -> None:
        """Raise ArchitectureError for what is no valid architecture."""
