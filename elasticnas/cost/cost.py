"""Cost: a number for every architecture, its table, and its differentiable expectation."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar

from torch import Tensor, nn

from elasticnas.cost.table import ENTRIES, CostTable, choice_names, given_probabilities, tabulate
from elasticnas.errors import ArchitectureError, SpaceError
from elasticnas.extraction import axes_of, check

__all__ = ["Cost"]

_CACHED_COSTS = 65_536
_CACHED_TABLES = 16


class Cost(ABC):
    """What the extracted network of an architecture costs. A new cost defines ``unit`` and :meth:`compute`.

    Args:
        model: A model made of elastic primitives; it is neither changed nor moved.
        example: Input of the model: a tensor, a tuple of arguments, a mapping of keyword arguments, or a function
            from an architecture to one of these (for parts whose input width is elastic).

    Attributes:
        unit: What the number counts: ``"FLOPs"``, ``"parameters"``, ``"bytes"`` or ``"ms"``.
        measured: Whether another process gets another number.
        space: The space of the model.

    Raises:
        InactiveChoiceError: A choice of the space reaches nothing in the model.
    """

    unit: ClassVar[str]
    measured: ClassVar[bool] = False

    def __init__(self, model: nn.Module, example: Any = None) -> None:
        check(model)
        self.model, self.example = model, example
        self.space: Any = axes_of(model).space
        self._costs: OrderedDict[tuple[int, ...], float] = OrderedDict()
        self._tables: OrderedDict[tuple[Any, ...], CostTable] = OrderedDict()

    @abstractmethod
    def compute(self, arch: Any) -> float:
        """The cost of an architecture, in ``unit``, worked out anew."""

    def __call__(self, arch: Any) -> float:
        """The cost of an architecture, in ``unit``; remembered.

        Raises:
            ArchitectureError: The architecture belongs to another space.
        """
        key = self._key(arch)
        if key not in self._costs:
            self._costs[key] = self.compute(arch)
            if len(self._costs) > _CACHED_COSTS:
                self._costs.popitem(last=False)
        self._costs.move_to_end(key)
        return self._costs[key]

    def table(self, space: Any = None, fields: Sequence[str] | None = None, base: Any = None) -> CostTable:
        """The cost of every combination of some choices.

        Args:
            space: The model's space; may be left out.
            fields: Choice names (``"hidden"``, ``"inner.0"``), or fields that hold several (``"inner"``,
                ``"encoder"``); None takes all choices.
            base: The architecture that gives all other choices; None takes the largest.

        Raises:
            SpaceError: Another space, an unknown name, or more than 20,000 combinations.
        """
        if space is not None and space is not self.space:
            raise SpaceError(
                f"the model follows {self.space.__name__}, but a table over {space.__name__} was asked for"
            )
        base = self.space.largest() if base is None else base
        names = choice_names(self.space, fields)
        key = (names, self._key(base))
        if key not in self._tables:
            self._tables[key] = tabulate(self, self.unit, self.space, names, base)
            if len(self._tables) > _CACHED_TABLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(key)
        return self._tables[key]

    def expected(self, probabilities: Mapping[str, Tensor], base: Any = None) -> Tensor:
        """Expected cost ``()`` in ``unit``, with gradients to the probabilities.

        The choices count as independent; combinations that no architecture has are left out and the rest is scaled
        to sum 1. Exact for up to 20,000 combinations, from a table that is made at the first call. Beyond, the cost is
        taken as additive around the most probable architecture: its own cost, plus for each choice the expected
        difference that this choice alone makes (exact where choices do not interact, such as widths of layers).

        Args:
            probabilities: Per choice a tensor ``(options,)``; a per-layer field may be one ``(layers, options)``.
            base: The architecture that gives all other choices; None takes the largest.
        """
        given = given_probabilities(self.space, probabilities)
        if prod(value.shape[-1] for value in given.values()) > ENTRIES:
            return self._additive(given, self.space.largest() if base is None else base)
        return self.table(fields=list(given), base=base).expected(probabilities)

    def _additive(self, given: Mapping[str, Tensor], base: Any) -> Tensor:
        choices = self.space.choices()
        likely = {name: choices[name][int(value.detach().argmax())] for name, value in given.items()}
        values = self.space.assignment(base)
        centre = self._cost_of(values | likely)
        if centre is None:  # the likeliest options break a rule together
            likely, centre = {name: values[name] for name in given}, self(base)
        total: Tensor = next(iter(given.values())).new_full((), centre)
        for name, p in given.items():
            costs = [self._cost_of(values | likely | {name: option}) for option in choices[name]]
            changes = [0.0 if cost is None else cost - centre for cost in costs]
            total = total + (p * p.new_tensor(changes)).sum(-1)
        return total

    def _cost_of(self, assignment: Mapping[str, Any]) -> float | None:
        try:
            return self(self.space.build(assignment))
        except ArchitectureError:
            return None

    def _key(self, arch: Any) -> tuple[int, ...]:
        # indices rather than the architecture itself: True and 1 are equal, but different options
        if not isinstance(arch, self.space):
            raise ArchitectureError(
                f"{type(self).__name__}({arch!r}): expected an architecture of {self.space.__name__}, "
                f"got {type(arch).__name__}"
            )
        return tuple(self.space.indices(arch).values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.model).__name__}, {self.space.__name__}, unit={self.unit!r})"
