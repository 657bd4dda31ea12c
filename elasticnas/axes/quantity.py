"""Choices of a space, and the quantities that are functions of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor

from elasticnas.axes.modes import Constant, is_transformed
from elasticnas.errors import ArchitectureError, SpaceError

__all__ = ["COMBINATIONS", "Choice", "Projection", "Quantity", "SpaceFacts"]

COMBINATIONS = 262_144
"""Maximum number of option combinations that a derived size may depend on."""

Projection = Callable[[tuple["Choice", ...]], Iterable[tuple[tuple[int, ...], Any]]]


@dataclass(frozen=True)
class Choice:
    """One choice of a search space: a name such as ``hidden``, ``inner.0`` or ``encoder.heads``, and its options."""

    name: str
    options: tuple[Any, ...]

    def index(self, value: Any) -> int:
        """Return the position of ``value`` among the options; True and 1 are different options.

        Raises:
            ArchitectureError: It is not an option.
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
        getter: Returns its value for an architecture.
        projection: Yields, for every combination of the choices' options that some valid architecture has, the
            option indices and one such architecture.
    """

    name: str
    choices: tuple[Choice, ...]
    getter: Callable[[Any], Any]
    projection: Projection = field(repr=False)

    @cached_property
    def combinations(self) -> list[tuple[tuple[int, ...], Any]]:
        """Option indices and value of each valid combination.

        Raises:
            SpaceError: There are more than ``COMBINATIONS``.
        """
        count = prod(len(choice.options) for choice in self.choices)
        if count > COMBINATIONS:
            raise SpaceError(
                f"{self.name} depends on {len(self.choices)} choices with {count:,} combinations, and a size may have "
                f"at most {COMBINATIONS:,}: let it depend on fewer choices, or compute it where the model is built"
            )
        return [(indices, self.getter(arch)) for indices, arch in self.projection(self.choices)]

    @cached_property
    def options(self) -> tuple[Any, ...]:
        """Distinct values over the valid architectures; integers in ascending order."""
        values = list(dict.fromkeys(value for _, value in self.combinations))
        if _are_numbers(values):
            values.sort()
        return tuple(values)

    @cached_property
    def is_number(self) -> bool:
        """Whether its values are integers (bool does not count)."""
        return _are_numbers(self.options)

    @cached_property
    def by_indices(self) -> dict[tuple[int, ...], Any]:
        """The value for each valid combination of option indices."""
        return dict(self.combinations)

    @cached_property
    def prefixes(self) -> Constant:
        """Prefix masks, float ``(options, largest)``: the first ``options[o]`` entries of row o are 1."""

        def make(device: torch.device) -> Tensor:
            sizes = torch.tensor(self.options, device=device)
            return (torch.arange(max(self.options), device=device) < sizes[:, None]).float()

        return Constant(make)

    @cached_property
    def _joint_to_options(self) -> Constant:
        """0/1 matrix ``(combinations of indices, options)``; rows of invalid combinations are 0."""
        sizes = [len(choice.options) for choice in self.choices]
        column = {value: position for position, value in enumerate(self.options)}
        rows = [sum(i * prod(sizes[n + 1 :]) for n, i in enumerate(indices)) for indices, _ in self.combinations]
        columns = [column[value] for _, value in self.combinations]

        def make(device: torch.device) -> Tensor:
            matrix = torch.zeros(prod(sizes), len(column), device=device)
            matrix[torch.tensor(rows, device=device), torch.tensor(columns, device=device)] = 1
            return matrix

        return Constant(make)

    def precompute(self) -> None:
        """Compute all cached values before a graph is traced, since tracing cannot construct architectures."""
        _ = self.by_indices, self._some_invalid
        self._joint_to_options.precompute()
        if self.is_number:
            self.prefixes.precompute()

    def position(self, arch: Any) -> int:
        """Return the position of an architecture's value among the options."""
        value = self.getter(arch)
        try:
            return self._positions[value]
        except KeyError:
            raise ArchitectureError(
                f"{arch!r}: {self.name} is {value!r}, and no valid architecture has that; its options are "
                f"{list(self.options)}"
            ) from None

    @cached_property
    def _some_invalid(self) -> bool:
        return len(self.combinations) < prod([len(choice.options) for choice in self.choices])

    @cached_property
    def _positions(self) -> dict[Any, int]:
        return {value: index for index, value in enumerate(self.options)}

    def weights(self, probabilities: Sequence[Tensor]) -> Tensor:
        """Return the probability of every option, ``(..., options)``, from those of the choices it depends on.

        The choices are treated as independent; combinations that no valid architecture has are excluded, and the
        remaining probabilities are normalised to sum to 1.

        Raises:
            ArchitectureError: Only invalid combinations have a probability above 0 (on the CPU; elsewhere NaN).
        """
        joint = probabilities[0]
        for following in probabilities[1:]:
            joint = (joint.unsqueeze(-1) * following.unsqueeze(-2)).flatten(-2)
        weights = (joint.unsqueeze(-1) * self._joint_to_options.like(joint)).sum(-2)
        if self._some_invalid:
            total = weights.sum(-1, keepdim=True)
            # elsewhere a look would wait for the device at every use; there 0 / 0 is NaN, at which a search stops
            if total.device.type == "cpu" and not is_transformed() and bool((total == 0).any()):
                raise ArchitectureError(
                    f"{self.name}: all probability is on combinations of {', '.join(c.name for c in self.choices)} "
                    "that no valid architecture has"
                )
            weights = weights / total
        return weights


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)


class SpaceFacts(Protocol):
    """What axes need to know about a space."""

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choices in order."""

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """One quantity for every choice, by dotted name."""

    @property
    def properties(self) -> tuple[str, ...]:
        """Dotted names of the properties that may be sizes; reading this evaluates none of them."""

    def derived(self, name: str) -> Mapping[str, Quantity]:
        """Return the sizes of a property, by dotted name; the first call evaluates the property."""

    def projection(self, choices: tuple[Choice, ...]) -> Iterable[tuple[tuple[int, ...], Any]]:
        """Yield the option indices and one architecture for every combination that some valid architecture has."""

    def check(self, arch: Any) -> None:
        """Check that an object is a valid architecture.

        Raises:
            ArchitectureError: It is not.
        """
