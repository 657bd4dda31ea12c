"""CostContract: the tests that every cost must pass, as a pytest class to inherit."""

import json
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from elasticnas.cost import Cost
from elasticnas.errors import ArchitectureError
from elasticnas.space import Space

__all__ = ["CostContract"]


class _Other(Space):
    other: bool


class CostContract(ABC):
    """Contract tests of a cost: a subclass defines a model and the cost.

    Attributes:
        space: A small search space; up to 50 of its architectures are checked.
    """

    space: ClassVar[type[Space]]

    @abstractmethod
    def build(self, sizes: Any) -> nn.Module:
        """Build the supernet from axes."""

    @abstractmethod
    def cost(self, model: nn.Module) -> Cost:
        """Return a new cost object for the model."""

    def by_hand(self, arch: Any) -> float | None:
        """Return the cost of an architecture, derived by hand; None skips the test."""
        return None

    def _new_cost(self) -> Cost:
        torch.manual_seed(0)
        return self.cost(self.build(self.space.axes()))

    def _architectures(self) -> list[Any]:
        return [self.space.largest(), *(arch for arch, _ in zip(self.space.enumerate(), range(50), strict=False))]

    def test_it_is_a_finite_number_with_a_unit(self) -> None:
        """The cost of every architecture is finite and not negative, and has a unit."""
        cost = self._new_cost()
        assert isinstance(cost.unit, str) and cost.unit
        for arch in self._architectures():
            value = cost(arch)
            assert isinstance(value, float) and math.isfinite(value) and value >= 0, (arch, value)

    def test_it_is_the_count_by_hand(self) -> None:
        """The cost equals the one derived by hand."""
        cost = self._new_cost()
        for arch in self._architectures():
            if (expected := self.by_hand(arch)) is not None:
                assert math.isclose(cost(arch), expected, rel_tol=1e-9), (arch, cost(arch), expected)

    def test_another_object_gives_the_same(self) -> None:
        """Two cost objects have the same identity and, unless measured, the same values, as budgets require."""
        first, second = self._new_cost(), self._new_cost()
        assert first.identity == second.identity == json.loads(json.dumps(first.identity))
        if not first.measured:
            assert [first(arch) for arch in self._architectures()] == [second(arch) for arch in self._architectures()]

    def test_it_does_not_depend_on_the_weights(self) -> None:
        """The cost neither depends on the weights nor changes them."""
        cost = self._new_cost()
        before = {name: tensor.clone() for name, tensor in cost.model.state_dict().items()}
        values = [cost(arch) for arch in self._architectures()]
        after = cost.model.state_dict()
        assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
        if not cost.measured:
            with torch.no_grad():
                for parameter in cost.model.parameters():
                    parameter.mul_(2)
            assert values == [cost.compute(arch) for arch in self._architectures()]

    def test_the_expectation_at_one_architecture_is_its_cost(self) -> None:
        """The expected cost under one-hot probabilities is the architecture's, with gradients to the probabilities."""
        cost = self._new_cost()
        for arch in self._architectures()[:5]:
            probabilities = {}
            for name, index in self.space.indices(arch).items():
                options = len(self.space.choices()[name])
                probabilities[name] = torch.eye(options, dtype=torch.float64)[index].requires_grad_()
            expected = cost.expected(probabilities)
            assert math.isclose(float(expected.detach()), cost(arch), rel_tol=1e-6)
            expected.backward()
            assert all(value.grad is not None and value.grad.isfinite().all() for value in probabilities.values())

    def test_an_architecture_of_another_space_is_refused(self) -> None:
        """An architecture of another space raises ArchitectureError."""
        with pytest.raises(ArchitectureError, match="expected an architecture of"):
            self._new_cost()(_Other(other=True))
