"""The most probable architecture within the budget, against brute force."""

import math
import random
import re
from typing import Annotated, Literal

import pytest
import torch
from cost_models import Encoder, Ruled, Small, encoder, encoder_flops, ids
from test_cost_budget import Sum, Wide

import elasticnas.nn as enn
from elasticnas import PerLayer, Space
from elasticnas.cost import Budget, Cost, Flops, most_probable
from elasticnas.errors import ArchitectureError, BudgetError, SearchError


class Following(Space):
    hidden: Literal[16, 8]
    depth: Literal[1, 2]
    inner: Annotated[tuple[Literal[12, 20], ...], PerLayer("depth")]


def drawn(space, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (2 * torch.randn(len(options), generator=generator, dtype=torch.float64)).softmax(-1)
        for name, options in space.choices().items()
    }


def probability(arch, given):
    """The product over the choices; an absent layer counts with its best option."""
    values, result = arch.model_dump(), 1.0
    for name, options in type(arch).choices().items():
        field, _, layer = name.partition(".")
        value = values[field]
        if layer and int(layer) >= len(value):
            result *= given[name].max().item()
        else:
            result *= given[name][options.index(value[int(layer)] if layer else value)].item()
    return result


@pytest.mark.parametrize("space", [Small, Ruled, Following])
@pytest.mark.parametrize("percent", [None, 100, 70, 45])
def test_exact_against_brute_force(space, percent):
    flops = Flops(Encoder(space.axes()), ids())
    budget = None if percent is None else Budget.parse(f"{percent}%", flops)
    for seed in range(5):
        given = drawn(space, seed)
        found = most_probable(space, given, [] if budget is None else [budget], flops)
        allowed = [arch for arch in space.enumerate() if budget is None or encoder_flops(arch) <= budget.limit]
        best = max(probability(arch, given) for arch in allowed)
        assert found in allowed
        assert probability(found, given) == pytest.approx(best, rel=1e-9)


class Opposed(Cost):
    """Lowest where the others are highest."""

    unit = "coins"

    def compute(self, arch):
        return coins(arch)


def coins(arch):
    inner = arch.inner if isinstance(arch.inner, tuple) else (arch.inner,)
    return float(400 - arch.hidden - sum((layer + 1) * width for layer, width in enumerate(inner)) / 4)


@pytest.mark.parametrize("space", [Small, Ruled, Following])
@pytest.mark.parametrize("percents", [(70, 40), (45, 60), (60, 60)])
def test_two_budgets_against_brute_force(space, percents):
    model = Encoder(space.axes())
    flops, opposed = Flops(model, ids()), Opposed(model)
    values = sorted(map(coins, space.enumerate()))
    limits = encoder_flops(space.largest()) * percents[0] / 100, values[len(values) * percents[1] // 100]
    budgets = [Budget(limits[0], flops, "first"), Budget(limits[1], opposed, "second")]
    allowed = [a for a in space.enumerate() if encoder_flops(a) <= limits[0] and coins(a) <= limits[1]]
    first_only = [a for a in space.enumerate() if encoder_flops(a) <= limits[0]]
    assert allowed and len(allowed) < len(first_only)
    for seed in range(5):
        given = drawn(space, seed)
        best = max(probability(arch, given) for arch in allowed)
        for order in (budgets, budgets[::-1]):
            found = most_probable(space, given, order)
            assert found in allowed
            assert probability(found, given) == pytest.approx(best, rel=1e-9)


def test_two_budgets_that_cannot_be_met():
    model = encoder(Small)
    flops, opposed = Flops(model, ids()), Opposed(model)
    given = drawn(Small, 0)
    cheapest, dearest = encoder_flops(Small.smallest()), encoder_flops(Small.largest())
    low = Budget(cheapest, flops, "low"), Budget(370.0, opposed, "few")
    with pytest.raises(BudgetError, match=r"^budget few \(370 coins\) is below the smallest reachable cost, 378 coins"):
        most_probable(Small, given, low)
    both = Budget(cheapest - 1, flops, "low"), Budget(370.0, opposed, "few")
    with pytest.raises(BudgetError, match=rf"^budget low .*cost, {cheapest:,} FLOPs .*; budget few .*cost, 378 coins"):
        most_probable(Small, given, both)

    together = Budget(cheapest, flops, "low"), Budget(378.0, opposed, "few")
    shares = {a: max(0, encoder_flops(a) / cheapest - 1) + max(0, coins(a) / 378 - 1) for a in Small.enumerate()}
    closest = min(shares, key=shares.get)
    assert shares[closest] > 0 and encoder_flops(closest) < dearest
    wanted = (
        f"budgets {cheapest:,} FLOPs (low) and 378 coins (few): each can be met, but not all together; the closest "
        f"architecture found, {closest!r}, has {encoder_flops(closest):,} FLOPs and {coins(closest):g} coins; raise one"
    )
    with pytest.raises(BudgetError, match=re.escape(wanted)):
        most_probable(Small, given, together)


def test_without_a_budget_each_choice_takes_its_best():
    given = drawn(Small, 7)
    found = most_probable(Small, given)
    for name, options in Small.choices().items():
        assert getattr(found, name) == options[given[name].argmax()]


def test_ties_go_to_the_smaller_cost():
    flops = Flops(encoder(Small), ids())
    uniform = {name: torch.ones(len(options)) / len(options) for name, options in Small.choices().items()}
    assert most_probable(Small, uniform, cost=flops) == Small.smallest()
    half = Budget.parse("50%", flops)
    assert most_probable(Small, uniform, [half]) == Small.smallest()
    assert most_probable(Small, {"depth": torch.tensor([0.2, 0.4, 0.4])}, cost=flops).depth == 2


def test_choices_without_probabilities_stay_as_in_the_largest():
    flops = Flops(encoder(Small), ids())
    given = {"depth": torch.tensor([0.1, 0.2, 0.7])}
    budget = Budget.parse("70%", flops)
    assert most_probable(Small, given, [budget], flops) == Small(hidden=16, inner=24, depth=2)
    with pytest.raises(
        BudgetError, match=r"below the smallest reachable cost, .* with Small\(hidden=16, inner=24, depth=1"
    ):
        most_probable(Small, given, [Budget.parse("15%", flops)], flops)


def test_all_layers_as_one_tensor():
    flops = Flops(encoder(Ruled), ids())
    given = {"inner": torch.tensor([[0.3, 0.7], [0.6, 0.4]])}
    assert most_probable(Ruled, given, cost=flops).inner == (20, 12)


def test_zero_probabilities_are_a_last_resort():
    flops = Flops(encoder(Small), ids())
    given = {name: torch.zeros(len(options)) for name, options in Small.choices().items()}
    for name in given:
        given[name][0 if name != "depth" else 2] = 1.0  # the largest, for certain
    budget = Budget.parse("60%", flops)
    assert budget.allows(most_probable(Small, given, [budget], flops))


def wide_cost():
    axes = Wide.axes()
    return Sum(enn.Stack([enn.FeedForward(axes.hidden, width) for width in axes.inner], 10))


@pytest.mark.parametrize("percent", [95, 70, 50])
def test_greedy_in_a_large_space(percent):
    cost = wide_cost()
    budget = Budget.parse(f"{percent}%", cost)
    for seed in range(2):
        given = drawn(Wide, seed)
        found = most_probable(Wide, given, [budget], cost)
        assert budget.allows(found)
        assert found == most_probable(Wide, given, [budget], cost)
        rng = random.Random(seed)
        others = [arch for arch in (Wide.sample(rng) for _ in range(2000)) if budget.allows(arch)]
        assert probability(found, given) >= max((probability(arch, given) for arch in others), default=0.0)


def most_of_wide(given, units, fewest):
    """The logarithm of the best probability within both budgets, out of all 118,098 combinations."""
    choices = Wide.choices()
    sizes = torch.cartesian_prod(*(torch.tensor(options) for options in choices.values()))
    logs = torch.cartesian_prod(*(given[name].log() for name in choices)).sum(1)
    hidden, inner = sizes[:, 0], sizes[:, 1:]
    valid = (hidden == 16) | (inner[:, 0] != 28)
    met = (hidden + inner.sum(1) <= units) & (400 - hidden - (inner * torch.arange(1, 11)).sum(1) / 4 <= fewest)
    return logs[valid & met].max().item()


@pytest.mark.parametrize(("units", "fewest"), [(240, 50.0), (200, 90.0), (170, 150.0), (150, 205.0)])
def test_greedy_meets_two_budgets(units, fewest):
    cost = wide_cost()
    budgets = [Budget(float(units), cost, "units"), Budget(fewest, Opposed(cost.model), "coins")]
    for seed in range(3):
        given = drawn(Wide, seed)
        found = most_probable(Wide, given, budgets)
        assert found.hidden + sum(found.inner) <= units and coins(found) <= fewest
        assert math.log(probability(found, given)) == pytest.approx(most_of_wide(given, units, fewest), abs=1e-6)


def test_greedy_says_when_two_cannot_be_met_together():
    cost = wide_cost()
    budgets = [Budget(128.0, cost, "units"), Budget(10.0, Opposed(cost.model), "coins")]
    with pytest.raises(BudgetError, match=r"128 units \(units\) and .* each can be met, but not all together; the clo"):
        most_probable(Wide, drawn(Wide, 0), budgets)


def test_greedy_says_when_it_is_impossible():
    cost = wide_cost()
    given = {"inner": torch.full((10, 3), 1 / 3)}
    with pytest.raises(BudgetError, match=r"the smallest reachable cost, 136 units"):
        most_probable(Wide, given, [Budget(130.0, cost, "130")], cost)


def test_bad_probabilities():
    with pytest.raises(
        ArchitectureError, match=r"depth has the probabilities .*nan.*: each must be finite and at least 0"
    ):
        most_probable(Small, {"depth": torch.tensor([0.5, float("nan"), 0.5])})
    with pytest.raises(SearchError, match="depth: one vector of probabilities"):
        most_probable(Small, {"depth": torch.full((2, 3), 1 / 3)})
