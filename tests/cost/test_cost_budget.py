"""Budgets: what is understood, what is refused, and what is out of reach."""

from typing import Annotated, Literal

import pytest
from cost_models import Ruled, Small, encoder, encoder_flops, ids
from pydantic import model_validator

import elasticnas.nn as enn
from elasticnas import PerLayer, Space
from elasticnas.cost import Budget, Cost, Flops, jointly_smallest, smallest_reachable
from elasticnas.errors import BudgetError

LARGEST = encoder_flops(Small.largest())
SMALLEST = encoder_flops(Small.smallest())


@pytest.fixture(scope="module")
def flops():
    return Flops(encoder(Small), ids())


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ("50%", LARGEST / 2),
        (" 62.5 % ", LARGEST * 0.625),
        ("100%", LARGEST),
        ("1.5e6", 1.5e6),
        (1500000, 1.5e6),
        (1.5e6, 1.5e6),
        ("2M", 2e6),
        ("2 M FLOPs", 2e6),
        ("20k", 2e4),
        ("3G", 3e9),
        ("1T", 1e12),
        ("+25000.5 flops", 25000.5),
    ],
)
def test_accepted_forms(flops, given, limit):
    budget = Budget.parse(given, flops)
    assert budget.limit == pytest.approx(limit)
    assert budget.allows(Small.smallest())
    assert budget.allows(Small.largest()) == (limit >= LARGEST)


@pytest.mark.parametrize(
    "given", ["", "half", "2m", "50 percent", "1,5", "0x10", "nan", "inf", True, None, "%", "2 ms"]
)
def test_malformed(flops, given):
    with pytest.raises(BudgetError, match=r"is not understood: write '50%' .* '1\.5e6', .* '2M'"):
        Budget.parse(given, flops)


@pytest.mark.parametrize("given", ["0%", "-5%", "150%", "nan%", "inf%"])
def test_percentages_out_of_range(flops, given):
    with pytest.raises(BudgetError, match=r"over 0% and up to 100%"):
        Budget.parse(given, flops)


@pytest.mark.parametrize("given", ["0", "-3", 0, -2.5, "1e999"])
def test_numbers_out_of_range(flops, given):
    with pytest.raises(BudgetError, match="a finite number of FLOPs over 0 is needed"):
        Budget.parse(given, flops)


def test_not_a_number_is_refused(flops):
    with pytest.raises(BudgetError, match="is not understood"):
        Budget.parse(float("nan"), flops)


def test_impossible_names_the_smallest_reachable(flops):
    assert smallest_reachable(flops) == (Small.smallest(), SMALLEST)
    with pytest.raises(BudgetError) as error:
        Budget.parse("1%", flops)
    text = str(error.value)
    assert f"the smallest reachable cost, {SMALLEST:,} FLOPs" in text
    assert f"({SMALLEST / LARGEST:.2%} of the largest) with {Small.smallest()!r}" in text
    assert "\n" not in text
    with pytest.raises(BudgetError, match=r"budget 0\.5 .* for that share of the largest write '50%'"):
        Budget.parse("0.5", flops)


def test_exactly_the_smallest_is_possible(flops):
    assert Budget.parse(SMALLEST, flops).allows(Small.smallest())
    assert not Budget.parse(SMALLEST, flops).allows(Small(hidden=8, inner=24, depth=1))


class Odd(Cost):
    """Cheapest where nobody would look: the largest hidden."""

    unit = "coins"

    def compute(self, arch):
        return float(100 - arch.hidden + arch.depth)


def test_the_smallest_is_searched_for_not_assumed():
    cost = Odd(encoder(Small))
    assert smallest_reachable(cost) == (Small(hidden=16, inner=24, depth=1), 85.0)
    assert Budget.parse(85, cost).limit == 85


class Wide(Space):
    hidden: Literal[16, 8]
    inner: Annotated[tuple[Literal[12, 20, 28], ...], PerLayer(10)]

    @model_validator(mode="after")
    def wide_first(self):
        if self.hidden == 8 and self.inner[0] == 28:
            raise ValueError("hidden 8 does not go with an inner of 28 in the first layer")
        return self


class Sum(Cost):
    unit = "units"

    def compute(self, arch):
        return float(arch.hidden + sum(arch.inner))


def test_descent_in_a_space_too_large_to_enumerate():
    axes = Wide.axes()
    cost = Sum(enn.Stack([enn.FeedForward(axes.hidden, width) for width in axes.inner], 10))
    assert Wide.size() > 4096
    arch, smallest = smallest_reachable(cost)
    assert arch == Wide.smallest() and smallest == 8 + 10 * 12
    with pytest.raises(BudgetError, match="the smallest reachable cost, 128 units"):
        Budget.parse("100", cost)


class Rest(Cost):
    unit = "rests"

    def compute(self, arch):
        return float(500 - 2 * arch.hidden - sum(arch.inner))


def test_the_nearest_to_several_budgets(flops):
    odd = Odd(flops.model)
    budgets = [Budget(SMALLEST, flops, "low"), Budget(85.0, odd, "odd")]
    shares = {a: encoder_flops(a) / SMALLEST - 1 + (100 - a.hidden + a.depth) / 85 - 1 for a in Small.enumerate()}
    closest = min(shares, key=shares.get)
    assert jointly_smallest(budgets) == (closest, (encoder_flops(closest), 100 - closest.hidden + closest.depth))
    assert jointly_smallest(budgets[1:]) == (Small(hidden=16, inner=24, depth=1), (85.0,))


def test_the_nearest_to_several_budgets_in_a_large_space():
    axes = Wide.axes()
    model = enn.Stack([enn.FeedForward(axes.hidden, width) for width in axes.inner], 10)
    arch, costs = jointly_smallest([Budget(200.0, Sum(model), "200"), Budget(284.0, Rest(model), "284")])
    # hidden + inner <= 200 and 2 hidden + inner >= 216 leave hidden 16 with exactly 184 inside
    assert (arch.hidden, sum(arch.inner)) == (16, 184) and costs == (200.0, 284.0)
    # 34 too many of 250 are the smaller share
    assert jointly_smallest([Budget(200.0, Sum(model), "200"), Budget(250.0, Rest(model), "250")])[1] == costs


def test_rules_are_obeyed():
    flops = Flops(encoder(Ruled), ids())
    arch, smallest = smallest_reachable(flops)
    assert smallest == min(encoder_flops(other) for other in Ruled.enumerate()) == flops(arch)
    assert str(Budget.parse("50%", flops)).endswith("FLOPs (50%)")
