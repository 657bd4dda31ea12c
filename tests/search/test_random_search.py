"""Random architectures within budgets, against enumeration; costs are counted, not timed."""

import itertools
import random
from typing import Annotated, Literal

import pytest
from pydantic import model_validator

from elasticnas import PerLayer, Space
from elasticnas.search.random_search import draw_allowed, draws


class Eight(Space):
    widths: Annotated[tuple[Literal[8, 7, 6, 5, 4, 3, 2, 1], ...], PerLayer(12)]


class Five(Space):
    widths: Annotated[tuple[Literal[7, 6, 5, 4, 3, 2, 1, 0], ...], PerLayer(5)]


class Pair(Space):
    widths: Annotated[tuple[Literal[7, 6, 5, 4, 3, 2, 1, 0], ...], PerLayer(2)]

    @model_validator(mode="after")
    def _alike(self):
        if self.widths[0] != self.widths[1]:
            raise ValueError("both the same")
        return self


class Pairs(Space):
    """Single changes are forbidden, and nearly all steps on the way to the smallest with them."""

    one: Pair
    two: Pair
    three: Pair
    four: Pair

    @property
    def widths(self):
        return self.one.widths + self.two.widths + self.three.widths + self.four.widths


class Branches(Space):
    kind: Literal["dear", "middling", "cheap"]
    widths: Annotated[tuple[Literal[8, 7, 6, 5, 4, 3, 2, 1], ...], PerLayer(5)]


class Small(Space):
    one: Literal[3, 2, 1]
    two: Literal[30, 20, 10]


class Counting:
    """A limit on a cost, and every architecture whose cost was asked for."""

    def __init__(self, cost, limit):
        self.asked, self._cost, self._limit = set(), cost, limit

    def cost(self, arch):
        self.asked.add(arch)
        return self._cost(arch)

    def allowed(self, arch):
        return self.cost(arch) <= self._limit


def total(arch):
    return sum(arch.widths)


def drawn(space, budget, seed=0, **how):
    found = list(draws(space, budget.cost, budget.allowed, seed, **how))
    assert len(found) == len(set(found))
    assert all(map(budget.allowed, found))
    return found


def test_small_spaces_are_shuffled():
    every = [Small(one=one, two=two) for one, two in itertools.product((3, 2, 1), (30, 20, 10))]
    expected = [arch for arch in random.Random(5).sample(every, 9) if arch.two != 30]
    assert drawn(Small, Counting(lambda arch: arch.one + arch.two, 23), seed=5) == expected


@pytest.mark.parametrize(("limit", "count"), [(12, 1), (13, 13)])
def test_hardly_anything_is_allowed(limit, count):
    budget = Counting(total, limit)
    assert len(drawn(Eight, budget)) == count
    assert len(budget.asked) < 1000


@pytest.mark.parametrize(("limit", "count"), [(3, 56), (6, 462)])
def test_few_are_allowed_and_all_are_found(limit, count):
    every = {widths for widths in itertools.product(range(8), repeat=5) if sum(widths) <= limit}
    assert len(every) == count
    assert {arch.widths for arch in drawn(Five, Counting(total, limit))} == every


def test_more_than_one_budget():
    def excess(arch):
        return max(0, total(arch) - 9) + max(0, arch.widths[0] - arch.widths[1])

    found = drawn(Five, Counting(excess, 0))
    every = [w for w in itertools.product(range(8), repeat=5) if sum(w) <= 9 and w[0] <= w[1]]
    assert len(found) > len(every) / 4


def test_a_seed_draws_the_same():
    firsts = [draw_allowed(Eight, 20, total, lambda arch: total(arch) <= 40, seed) for seed in (0, 0, 1)]
    assert firsts[0] == firsts[1] != firsts[2]
    assert all(len(set(archs)) == 20 for archs in firsts)


def test_what_every_sample_meets_is_not_shrunk():
    found = draw_allowed(Eight, 200, total, lambda arch: True, 0)
    assert sum(map(total, found)) / 200 == pytest.approx(12 * 4.5, abs=1.5)


def test_rules_that_forbid_the_way():
    found = drawn(Pairs, Counting(total, 4))
    half = {widths for widths in itertools.product(range(3), repeat=4) if sum(widths) <= 2}
    assert {arch.widths[::2] for arch in found} == half


@pytest.mark.parametrize("kind", ["cheap", "middling"])
def test_the_smallest_is_not_the_cheapest(kind):
    costs = {"dear": 20, "middling": 10, "cheap": 10, kind: 0}
    budget = Counting(lambda arch: costs[arch.kind] + total(arch), 6)
    found = drawn(Branches, budget)
    assert {arch.kind for arch in found} == {kind}
    assert {arch.widths for arch in found} == {w for w in itertools.product((1, 2), repeat=5) if sum(w) <= 6}


def test_nothing_is_allowed():
    budget = Counting(total, 4)
    assert drawn(Five, Counting(total, -1)) == []
    assert drawn(Eight, budget) == []
    assert len(budget.asked) < 2000


def test_of_the_same_network_only_one_is_drawn():
    def first_two(arch):
        return arch.widths[:2]

    found = drawn(Five, Counting(total, 2), same=first_two)
    assert sorted(map(first_two, found)) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]

    found = drawn(Small, Counting(lambda arch: 0, 0), same=lambda arch: arch.one)
    assert sorted(arch.one for arch in found) == [1, 2, 3]
    every = [Small(one=one, two=two) for one, two in itertools.product((3, 2, 1), (30, 20, 10))]
    assert found[0] == random.Random(0).sample(every, 9)[0]
