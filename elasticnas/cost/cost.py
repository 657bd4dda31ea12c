"""Cost: a number for every architecture, cost tables, and a differentiable expectation."""

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
from elasticnas.cost.layered import LayeredCost
from elasticnas.cost.passes import with_dict
from elasticnas.cost.sampler import Sampler
from elasticnas.cost.surrogate import Surrogate
from elasticnas.cost.table import ENTRIES, CostTable, choice_names, given_probabilities, tabulate
from elasticnas.errors import SpaceError
from elasticnas.extraction import axes_of, check
from elasticnas.space.space import A

__all__ = ["Cost"]

_CACHED_COSTS = 65_536
_CACHED_TABLES = 16


class Cost(ABC, Generic[A]):
    """Cost of the extracted network of an architecture. A subclass defines ``unit`` and :meth:`compute`.

    ``Flops[Encoder](model, example)`` declares the space for type checkers.

    Args:
        model: A model made of elastic primitives; it is neither changed nor moved.
        example: Input of the model: a tensor, a tuple of arguments, a mapping of keyword arguments, or a function
            from an architecture to one of these (for models whose input width is elastic).

    Attributes:
        unit: ``"FLOPs"``, ``"parameters"``, ``"bytes"`` or ``"ms"``.
        measured: Whether the number differs between processes.
        space: The space of the model.

    Raises:
        InactiveChoiceError: A choice of the space changes nothing in the model.
    """

    unit: ClassVar[str]
    measured: ClassVar[bool] = False

    def __init__(self, model: nn.Module, example: object = None) -> None:
        check(model)
        self.model, self.example = model, with_dict(example)
        self.space: type[A] = axes_of(model).space
        self._costs: OrderedDict[tuple[int, ...], float] = OrderedDict()
        self._tables: OrderedDict[tuple[Any, ...], CostTable[A]] = OrderedDict()
        self._samplers: OrderedDict[tuple[Any, ...], Sampler] = OrderedDict()

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that equal costs share across processes: class, shapes of the example, and settings."""
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
        """Compute the cost of an architecture, in ``unit``, without the cache."""

    def __call__(self, arch: A) -> float:
        """Return the cost of an architecture, in ``unit``; it is cached.

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
        """Compute the cost of every combination of options of some choices.

        Args:
            space: The model's space; optional.
            fields: Choice names (``"hidden"``, ``"inner.0"``), or fields with several choices (``"inner"``,
                ``"encoder"``); None takes all choices.
            base: The architecture that fixes all other choices; None takes the largest.

        Raises:
            SpaceError: The space is another one, a name is unknown, or there are more than 20,000 combinations.
        """
        if space is not None and space is not self.space:
            raise SpaceError(
                f"a table over {space.__name__} was requested, but the space of the model is {self.space.__name__}"
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
        """Return the value of :meth:`expectation`: ``(...)`` in ``unit``, differentiable in the probabilities."""
        return self.expectation(probabilities, base, seed).value

    def expectation(self, probabilities: Mapping[str, Tensor], base: A | None = None, seed: int = 0) -> Expectation:
        """Compute the expected cost in ``unit``, differentiable in the probabilities, and its standard error.

        Choices are independent; combinations that no architecture has are excluded and the other probabilities are
        rescaled to sum to 1. The result is exact if the choices have up to 20,000 combinations, or if all choices are
        given and the space has up to 20,000 architectures; the first call computes their costs.

        Otherwise value and gradients are unbiased estimates. The first call fits a surrogate to about 2,000
        architectures (more if there are more options). Each call adds an estimate of the surrogate's residual from 16
        architectures drawn from the probabilities and, for gradients, from each option of each choice. If one
        architecture is very probable, more are drawn, so that some differ from it. If the surrogate had no residual
        at 32 random architectures, as for FLOPs and parameters of transformers, 2 draws and the options of one choice
        are enough. All costs are cached.

        The standard error is 0 if there is no residual and rules tie only choices that the surrogate tabulates jointly
        (those that interact, such as ``heads`` and ``hidden``). It is a few percent of the value if rules tie many
        layers or if a cost follows no pattern. The random numbers depend on the seed alone and do not use torch's
        generators: equal probabilities give equal values, and small changes of them mostly draw the same architectures.

        Args:
            probabilities: Per choice a tensor ``(..., options)``; a per-layer field may be one ``(layers, options)``.
            base: The architecture that fixes all other choices; None takes the largest.
            seed: Seed of the draws, 0 or more; estimates are unbiased over seeds.

        Raises:
            ArchitectureError: No possible combination has a positive probability, or rules forbid each of 2,000 draws.
        """
        given = given_probabilities(self.space, probabilities)
        base = self.space.largest() if base is None else base
        if prod(value.shape[-1] for value in given.values()) <= ENTRIES:
            return _exact(self.table(fields=list(given), base=base).expected(probabilities))
        if len(given) == len(self.space.choice_list()) and (distinct := self._architectures) is not None:
            return _exact(distinct.expected(given))
        return sampled(self._sampler(tuple(given), base), given, seed)

    def separable(self, names: Sequence[str], base: A) -> Surrogate | LayeredCost | None:
        """Return the cost as a sum over choices, given a few of them; None if it is no such sum.

        The first call computes the costs of up to about 2,000 architectures, unless :meth:`expectation` has done it.

        Args:
            names: Names of the choices, in the order of the space.
            base: The architecture that fixes all other choices.
        """
        sampler = self._sampler(tuple(names), base)
        return sampler.surrogate if sampler.exact else sampler.layered

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
        # indices, not the architecture itself: True and 1 are equal but different options
        if not isinstance(arch, self.space):
            raise self.space.info().membership.wrong_type_error(arch)
        return tuple(self.space.indices(arch).values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.model).__name__}, {self.space.__name__}, unit={self.unit!r})"


def _exact(value: Tensor) -> Expectation:
    return Expectation(value, torch.zeros_like(value, requires_grad=False), 0)
