"""Objective: a sum of values of options and of pairs of options, to be minimised over architectures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from elasticnas.cost.combinations import Array

__all__ = ["Objective"]


@dataclass(frozen=True, eq=False)
class Objective:
    """``sum of values over the choices + sum of pairs over pairs of present choices``; lower is better.

    Choices without values are as in the largest architecture.

    Attributes:
        space: A Space class.
        values: Per choice the value of each option; infinity excludes an option.
        absent: The value of a choice whose layer is absent, by choice; 0 if it is not among them.
        pairs: Per pair of choices, the first before the second in the space, an array ``(options, options)``.
    """

    space: Any
    values: Mapping[str, tuple[float, ...]]
    absent: Mapping[str, float] = field(default_factory=dict)
    pairs: Mapping[tuple[str, str], Array] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The choices with values, in the order of the space."""
        return tuple(choice.name for choice in self.space.choice_list() if choice.name in self.values)

    def __call__(self, arch: Any) -> float:
        """Return the value of an architecture."""
        indices, present = self.space.indices(arch), self.space.present(arch)
        single = sum(
            values[indices[name]] if name in present else self.absent.get(name, 0.0)
            for name, values in self.values.items()
        )
        double = sum(
            float(table[indices[one], indices[other]])
            for (one, other), table in self.pairs.items()
            if one in present and other in present
        )
        return float(single + double)

    @property
    def additive(self) -> bool:
        """Whether the sum of the values of all choices is the objective, with absent layers at their best option."""
        lengths = {item.choice.name for item in self.space.info().declared if item.length_of is not None}
        return not self.pairs and all(
            self.absent.get(name, 0.0) == min(values) for name, values in self.values.items() if name in lengths
        )
