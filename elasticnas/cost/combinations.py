"""Combinations: options of some choices as rows of indices, the others fixed, with validity and cost of each row."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from elasticnas.axes import Choice
from elasticnas.errors import ArchitectureError

__all__ = ["Array", "Combinations", "Mask", "Rows"]

Rows = npt.NDArray[np.intp]
Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_CACHED = 65_536


class Combinations:
    """Every combination of the options of some choices, possible or not.

    Args:
        cost: Of an architecture.
        space: A Space class.
        names: The choices.
        base: The architecture that gives all other choices.

    Attributes:
        choices: The choices, in the order of the space.
        counts: How many options each has.
        base: The row of the base.
    """

    def __init__(self, cost: Callable[[Any], float], space: Any, names: Sequence[str], base: Any) -> None:
        self.space, self._cost = space, cost
        self.choices: tuple[Choice, ...] = tuple(c for c in space.choice_list() if c.name in set(names))
        self.counts = tuple(len(choice.options) for choice in self.choices)
        self.base = self.row(base)
        self._assignment = space.assignment(base)
        self._known: OrderedDict[bytes, Any] = OrderedDict()

    def row(self, arch: Any) -> Rows:
        """The option indices of an architecture ``(choices,)``."""
        indices = self.space.indices(arch)
        return np.array([indices[choice.name] for choice in self.choices], dtype=np.intp)

    def possible(self, rows: Rows) -> Mask:
        """Whether an architecture has each of the rows ``(rows, choices)``."""
        return self._each(rows, lambda arch: arch is not None).astype(bool)

    def costs(self, rows: Rows) -> Array:
        """The cost of each row ``(rows, choices)``; nan where no architecture has it."""
        return self._each(rows, lambda arch: np.nan if arch is None else self._cost(arch))

    def _each(self, rows: Rows, value: Callable[[Any], float]) -> Array:
        """A value of each row's architecture, worked out once where rows are equal."""
        keys = [row.tobytes() for row in rows]
        known = {key: value(self._architecture(key)) for key in dict.fromkeys(keys)}
        return np.array([known[key] for key in keys], dtype=np.float64)

    def _architecture(self, key: bytes) -> Any:
        if key not in self._known:
            self._known[key] = self._built(np.frombuffer(key, dtype=np.intp))
            if len(self._known) > _CACHED:
                self._known.popitem(last=False)
        return self._known[key]

    def _built(self, row: Rows) -> Any:
        options = {choice.name: choice.options[index] for choice, index in zip(self.choices, row.tolist(), strict=True)}
        try:
            return self.space.from_assignment(self._assignment | options)
        except ArchitectureError:
            return None
