"""Combinations: rows of option indices of some choices, the others fixed, with validity and cost of each row."""

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
    """All combinations of options of some choices, possible or not.

    Args:
        cost: Returns the cost of an architecture.
        space: A Space class.
        names: Names of the choices.
        base: The architecture that fixes all other choices.

    Attributes:
        choices: The choices, in the order of the space.
        counts: Number of options of each choice.
        base: The row of ``base``.
    """

    def __init__(self, cost: Callable[[Any], float], space: Any, names: Sequence[str], base: Any) -> None:
        self.space, self._cost = space, cost
        self.choices: tuple[Choice, ...] = tuple(c for c in space.choice_list() if c.name in set(names))
        self.counts = tuple(len(choice.options) for choice in self.choices)
        self.base = self.row(base)
        self._assignment = space.assignment(base)
        self._archs: OrderedDict[bytes, Any] = OrderedDict()

    def row(self, arch: Any) -> Rows:
        """Return the option indices of an architecture ``(choices,)``."""
        indices = self.space.indices(arch)
        return np.array([indices[choice.name] for choice in self.choices], dtype=np.intp)

    def index(self, rows: Rows, positions: Sequence[int]) -> Rows:
        """Return for each row ``(rows, choices)`` the index of its combination of some choices, in their order."""
        found = np.zeros(len(rows), dtype=np.intp)
        for position in positions:
            found = found * self.counts[position] + rows[:, position]
        return found

    def possible(self, rows: Rows) -> Mask:
        """Return for each row ``(rows, choices)`` whether some architecture has it."""
        return self._evaluate(rows, lambda arch: arch is not None).astype(bool)

    def costs(self, rows: Rows) -> Array:
        """Return the cost of each row ``(rows, choices)``; nan for an impossible row."""
        return self._evaluate(rows, lambda arch: np.nan if arch is None else self._cost(arch))

    def architecture(self, row: Rows) -> Any:
        """Return the architecture of a row ``(choices,)``; None if a rule forbids it."""
        return self._architecture(row.tobytes())

    def _evaluate(self, rows: Rows, value: Callable[[Any], float]) -> Array:
        """Return a value for each row's architecture, computed once for equal rows."""
        keys = [row.tobytes() for row in rows]
        values = {key: value(self._architecture(key)) for key in dict.fromkeys(keys)}
        return np.array([values[key] for key in keys], dtype=np.float64)

    def _architecture(self, key: bytes) -> Any:
        if key not in self._archs:
            self._archs[key] = self._make(np.frombuffer(key, dtype=np.intp))
            if len(self._archs) > _CACHED:
                self._archs.popitem(last=False)
        return self._archs[key]

    def _make(self, row: Rows) -> Any:
        options = {choice.name: choice.options[index] for choice, index in zip(self.choices, row.tolist(), strict=True)}
        try:
            return self.space.from_assignment(self._assignment | options)
        except ArchitectureError:
            return None
