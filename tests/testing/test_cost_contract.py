"""The contract of costs holds for those of the library, and finds costs that break it."""

import math
from typing import Literal

import pytest
import torch

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.cost import Cost, Flops, Latency, Memory, Params
from elasticnas.testing import CostContract


class Sizes(Space):
    hidden: Literal[4, 2]


class Contract(CostContract):
    space = Sizes
    __test__ = False

    def build(self, sizes):
        return enn.FeedForward(3, sizes.hidden)


class TestFlops(Contract):
    __test__ = True

    def cost(self, model):
        return Flops(model, torch.zeros(5, 3))

    def by_hand(self, arch):
        return 5 * 2 * (3 * arch.hidden + arch.hidden * 3)


class TestParams(Contract):
    __test__ = True

    def cost(self, model):
        return Params(model)

    def by_hand(self, arch):
        return 3 * arch.hidden + arch.hidden + arch.hidden * 3 + 3


class TestMemory(Contract):
    __test__ = True

    def cost(self, model):
        return Memory(model, torch.zeros(5, 3))


class TestLatency(Contract):
    __test__ = True

    def cost(self, model):
        return Latency(model, torch.zeros(5, 3), repeats=3, warmup=1)


class _Broken(Cost):
    unit = "things"
    calls = 0

    def compute(self, arch):
        return float(arch.hidden)


class _NotANumber(_Broken):
    def compute(self, arch):
        return math.nan if arch.hidden == 2 else 1.0


class _OfTheWeights(_Broken):
    def compute(self, arch):
        return sum(float(parameter.detach().abs().sum()) for parameter in self.model.parameters())


class _OfTheCalls(_Broken):
    def compute(self, arch):
        _Broken.calls += 1
        return float(_Broken.calls)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (_NotANumber, "test_it_is_a_finite_number_with_a_unit"),
        (_OfTheWeights, "test_it_does_not_depend_on_the_weights"),
        (_OfTheCalls, "test_another_object_gives_the_same"),
        (_Broken, "test_it_is_the_count_by_hand"),
    ],
)
def test_a_broken_cost_is_found(broken, test):
    class Checked(Contract):
        def cost(self, model):
            return broken(model)

        def by_hand(self, arch):
            return 2.0 * arch.hidden

    with pytest.raises(AssertionError):
        getattr(Checked(), test)()
