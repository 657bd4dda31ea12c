"""Cost: a number for every architecture, its table, and its differentiable expectation."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any, ClassVar, Generic

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from elasticnas.checkpoint import to_builtins
from elasticnas.cost.combinations import Combinations
from elasticnas.cost.distinct import DistinctCosts, distinct_costs
from elasticnas.cost.expectation import Expectation, sampled
from elasticnas.cost.sampler import Sampler
from elasticnas.cost.table import ENTRIES, CostTable, choice_names, given_probabilities, tabulate
from elasticnas.errors import SpaceError
from elasticnas.extraction import axes_of, check
from elasticnas.space.space import A

__all__ = ["Cost"]

_CACHED_COSTS = 65_536
_CACHED_TABLES = 16


class Cost(ABC, Generic[A]):
    """What the extracted network of an architecture costs. A new cost defines ``unit`` and :meth:`compute`.

    ``Flops[Encoder](model, example)`` tells type checkers whose architectures it takes.

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

    def __init__(self, model: nn.Module, example: object = None) -> None:
        check(model)
        self.model, self.example = model, example
        self.space: type[A] = axes_of(model).space
        self._costs: OrderedDict[tuple[int, ...], float] = OrderedDict()
        self._tables: OrderedDict[tuple[Any, ...], CostTable[A]] = OrderedDict()
        self._samplers: OrderedDict[tuple[Any, ...], Sampler] = OrderedDict()

    @property
    def identity(self) -> dict[str, Any]:
        """What the same cost has in another process: its class, the shapes of its example, and its settings."""
        leaves = tree_leaves(self.example)
        example = [
            f"{leaf.dtype} {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else to_builtins(leaf) for leaf in leaves
        ]
        simple = (bool, int, float, str, torch.device)
        public = {name: value for name, value in vars(self).items() if name[0] != "_" and isinstance(value, simple)}
        settings = {name: str(value) if isinstance(value, torch.device) else value for name, value in public.items()}
        return {"kind": type(self).__qualname__, "example": example, **settings}

    @abstractmethod
    def compute(self, arch: A) -> float:
        """The cost of an architecture, in ``unit``, worked out anew."""

    def __call__(self, arch: A) -> float:
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

    def table(
        self, space: type[A] | None = None, fields: Sequence[str] | None = None, base: A | None = None
    ) -> CostTable[A]:
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

    def expected(self, probabilities: Mapping[str, Tensor], base: A | None = None, seed: int = 0) -> Tensor:
        """The value of :meth:`expectation`: ``(...)`` in ``unit``, with gradients to the probabilities."""
        return self.expectation(probabilities, base, seed).value

    def expectation(self, probabilities: Mapping[str, Tensor], base: A | None = None, seed: int = 0) -> Expectation:
        """Expected cost in ``unit``, with gradients to the probabilities, and its standard error.

        The choices count as independent; combinations that no architecture has are left out and the rest is scaled
        to sum 1. Exact where the choices have up to 20,000 combinations, or all choices are given and the space has
        up to 20,000 architectures: from costs worked out at the first call.

        Beyond, value and gradients are sampled, without bias. The first call fits a surrogate to at most about 2,000
        architectures (one for each option, where that is more). Each call adds what the surrogate misses: at 16
        architectures drawn from the probabilities, for gradients at each option of each choice, and at more where one
        architecture is so likely that 16 would not differ from it; all remembered. Where it misses nothing at 32
        random architectures, as for FLOPs and parameters of transformers, 2 and the options of one choice do.

        The error is that of the value: 0 where nothing is missed and rules tie only choices that the surrogate takes
        together (those that interact: ``heads`` and ``hidden``); some percent of the value where rules tie many layers
        or a cost follows no pattern. A seed always takes the same random numbers, none of torch's: equal probabilities
        give equal values, and those that move a little mostly meet architectures whose cost is remembered.

        Args:
            probabilities: Per choice a tensor ``(..., options)``; a per-layer field may be one ``(layers, options)``.
            base: The architecture that gives all other choices; None takes the largest.
            seed: Of the draws, 0 or more; the mean over seeds tends to the expectation.

        Raises:
            ArchitectureError: The probabilities give no weight to any combination that the space has, or one so small
                that rules forbid each of 2,000 draws.
        """
        given = given_probabilities(self.space, probabilities)
        base = self.space.largest() if base is None else base
        if prod(value.shape[-1] for value in given.values()) <= ENTRIES:
            return _exact(self.table(fields=list(given), base=base).expected(probabilities))
        if len(given) == len(self.space.choice_list()) and (known := self._architectures) is not None:
            return _exact(known.expected(given))
        return sampled(self._sampler(tuple(given), base), given, seed)

    @cached_property
    def _architectures(self) -> DistinctCosts | None:
        return distinct_costs(self, self.space)

    def _sampler(self, names: tuple[str, ...], base: Any) -> Sampler:
        key = (names, self._key(base))
        if key not in self._samplers:
            self._samplers[key] = Sampler(Combinations(self, self.space, names, base))
            if len(self._samplers) > _CACHED_TABLES:
                self._samplers.popitem(last=False)
        self._samplers.move_to_end(key)
        return self._samplers[key]

    def _key(self, arch: Any) -> tuple[int, ...]:
        # indices rather than the architecture itself: True and 1 are equal, but different options
        if not isinstance(arch, self.space):
            raise self.space.info().membership.stranger(arch)
        return tuple(self.space.indices(arch).values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.model).__name__}, {self.space.__name__}, unit={self.unit!r})"


def _exact(value: Tensor) -> Expectation:
    return Expectation(value, torch.zeros_like(value, requires_grad=False), 0)
