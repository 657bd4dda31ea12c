"""CostTable: the cost of every combination of some choices, and its expectation under probabilities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any, Generic

import torch
from torch import Tensor

from elasticnas.axes import by_choice
from elasticnas.errors import ArchitectureError, SpaceError
from elasticnas.space.space import A

__all__ = [
    "ENTRIES",
    "CostTable",
    "at_least_float32",
    "choice_names",
    "given_probabilities",
    "tabulate",
    "weighted_mean",
]

ENTRIES = 20_000  # most entries of a table
_PRINTED = 12  # most rows and columns of a printed grid


@dataclass(frozen=True, eq=False)
class CostTable(Generic[A]):
    """Costs of all combinations of some choices, the others fixed.

    Attributes:
        unit: Unit of the costs.
        names: Names of the choices, in the order of the space.
        options: The options of each choice.
        values: Costs ``(options of the first choice, options of the second choice, ...)``, float64; nan for a
            combination that no architecture has.
        base: The architecture that fixes all other choices.
        space: The space.
    """

    unit: str
    names: tuple[str, ...]
    options: tuple[tuple[Any, ...], ...]
    values: Tensor
    base: A
    space: type[A] = field(repr=False)

    def expected(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """Return the expected cost ``(...)`` for probabilities ``(..., options)`` of exactly the table's choices.

        ``sum_c cost(c) prod_i p_i(c_i) / sum_c prod_i p_i(c_i)`` over the possible combinations c.

        Raises:
            ArchitectureError: The choices are not the table's, shapes are wrong, or no possible combination has a
                positive probability.
        """
        given = given_probabilities(self.space, probabilities)
        if given.keys() != set(self.names):
            raise ArchitectureError(f"the table is over {list(self.names)}, the probabilities are for {list(given)}")
        joint = at_least_float32(given[self.names[0]])
        for name in self.names[1:]:
            joint = (joint.unsqueeze(-1) * at_least_float32(given[name]).unsqueeze(-2)).flatten(-2)
        values = self.values.flatten()
        return weighted_mean(joint * (~values.isnan()).to(joint), values.nan_to_num(0.0), self.names, self.space)

    def __getitem__(self, arch: A) -> float:
        """Return the cost of an architecture that equals ``base`` in all other choices.

        Raises:
            ArchitectureError: It differs from ``base`` in another choice.
        """
        values = self.space.assignment(arch)
        chosen = {name: values[name] for name in self.names}
        if self.space.from_assignment(self.space.assignment(self.base) | chosen) != arch:
            raise ArchitectureError(
                f"{arch!r} is not in the table: outside {list(self.names)} it differs from its base"
            )
        indices = self.space.indices(arch)
        return float(self.values[tuple(indices[name] for name in self.names)])

    def __str__(self) -> str:
        known = self.values[~self.values.isnan()]
        impossible = self.values.numel() - known.numel()
        lines = [
            f"{self.unit} over {' x '.join(self.names)}: {self.values.numel():,} combinations, "
            f"{impossible:,} impossible, {_number(known.min().item())} to {_number(known.max().item())}"
        ]
        lines += [f"  {name}: {', '.join(map(str, opts))}" for name, opts in zip(self.names, self.options, strict=True)]
        if len(self.names) <= 2 and max(self.values.shape) <= _PRINTED:
            lines += self._grid()
        return "\n".join(lines)

    def _grid(self) -> list[str]:
        columns = [str(option) for option in self.options[1]] if len(self.names) == 2 else [self.unit]
        rows = [[self.names[0], *columns]]
        for option, row in zip(self.options[0], self.values.reshape(len(self.options[0]), -1).tolist(), strict=True):
            rows.append([str(option), *("-" if value != value else _number(value) for value in row)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def weighted_mean(weights: Tensor, values: Tensor, names: Sequence[str], space: Any) -> Tensor:
    """Return the mean ``(...)`` of values ``(entries,)`` under weights ``(..., entries)``.

    Args:
        weights: The weights.
        values: The values.
        names: The choices, for messages.
        space: Their space.

    Raises:
        ArchitectureError: All weights are 0.
    """
    total = weights.sum(-1)
    if not torch.compiler.is_compiling() and (total.detach() <= 0).any():
        raise ArchitectureError(
            f"the probabilities of {', '.join(names)} give no weight to any combination that {space.__name__} has"
        )
    return (weights * values.to(weights)).sum(-1) / total


def tabulate(cost: Callable[[A], float], unit: str, space: type[A], names: tuple[str, ...], base: A) -> CostTable[A]:
    """Compute the table of a cost over the named choices.

    Raises:
        SpaceError: There are more than 20,000 combinations.
    """
    choices = space.choices()
    options = tuple(choices[name] for name in names)
    shape = [len(each) for each in options]
    if prod(shape) > ENTRIES:
        sizes = ", ".join(f"{name} ({count})" for name, count in zip(names, shape, strict=True))
        raise SpaceError(
            f"a cost table over {sizes} would have {prod(shape):,} entries, more than {ENTRIES:,}; name fewer fields, "
            "the others stay as in base"
        )
    assignment = space.assignment(base)
    values = []
    for combination in product(*options):
        try:
            arch = space.from_assignment(assignment | dict(zip(names, combination, strict=True)))
        except ArchitectureError:
            values.append(float("nan"))
        else:
            values.append(cost(arch))
    return CostTable(unit, names, options, torch.tensor(values, dtype=torch.float64).reshape(shape), base, space)


def choice_names(space: Any, fields: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the choices in some fields, in the order of the space; None takes all.

    Raises:
        SpaceError: There is no field, or the space does not have one of them.
    """
    names = list(space.choices())
    if fields is None:
        return tuple(names)
    if isinstance(fields, str):
        fields = [fields]
    found: set[str] = set()
    for given in fields:
        below = {name for name in names if name == given or name.startswith(f"{given}.")}
        if not below:
            raise SpaceError(f"{space.__name__} has no choice {given!r}; it has {names}")
        found |= below
    if not found:
        raise SpaceError(f"no field is named: give some of {names}")
    return tuple(name for name in names if name in found)


def given_probabilities(space: Any, probabilities: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the probabilities by choice, as :func:`elasticnas.axes.by_choice`; at least one choice must be given."""
    given = by_choice(probabilities, space.choice_list())
    if not given:
        raise ArchitectureError(f"no probabilities given; the choices are {list(space.choices())}")
    return given


def at_least_float32(probabilities: Tensor) -> Tensor:
    """Convert half precision to float32: FLOPs exceed its range."""
    return probabilities if probabilities.dtype in (torch.float32, torch.float64) else probabilities.float()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"
