"""The most probable architecture within the budget, against brute force."""

import random
from typing import Annotated, Literal

import pytest
import torch
from cost_models import Encoder, Ruled, Small, encoder, encoder_flops, ids
from test_cost_budget import Sum, Wide

import elasticnas.nn as enn
from elasticnas import PerLayer, Space
from elasticnas.cost import Budget, Flops, Params, most_probable
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
        found = most_probable(space, given, [budget] if budget else [], flops)
        allowed = [arch for arch in space.enumerate() if budget is None or encoder_flops(arch) <= budget.limit]
        best = max(probability(arch, given) for arch in allowed)
        assert found in allowed
        assert probability(found, given) == pytest.approx(best, rel=1e-9)


def test_without_a_budget_each_choice_takes_its_best():
    given = drawn(Small, 7)
    found = most_probable(Small, given, (), None)
    for name, options in Small.choices().items():
        assert getattr(found, name) == options[given[name].argmax()]


def test_ties_go_to_the_smaller_cost():
    flops = Flops(encoder(Small), ids())
    uniform = {name: torch.ones(len(options)) / len(options) for name, options in Small.choices().items()}
    assert most_probable(Small, uniform, (), flops) == Small.smallest()
    half = Budget.parse("50%", flops)
    assert most_probable(Small, uniform, [half], None) == Small.smallest()
    assert most_probable(Small, {"depth": torch.tensor([0.2, 0.4, 0.4])}, (), flops).depth == 2


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
    assert most_probable(Ruled, given, (), flops).inner == (20, 12)


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


def test_greedy_says_when_it_is_impossible():
    cost = wide_cost()
    given = {"inner": torch.full((10, 3), 1 / 3)}
    with pytest.raises(BudgetError, match=r"the smallest reachable cost, 136 units"):
        most_probable(Wide, given, [Budget(130.0, cost, "130")], cost)


def test_bad_probabilities():
    with pytest.raises(
        ArchitectureError, match=r"depth has the probabilities .*nan.*: each must be finite and at least 0"
    ):
        most_probable(Small, {"depth": torch.tensor([0.5, float("nan"), 0.5])}, (), None)
    with pytest.raises(SearchError, match="depth: one vector of probabilities"):
        most_probable(Small, {"depth": torch.ones(2, 3)}, (), None)


@pytest.mark.parametrize("space", [Small, Ruled, Following])
@pytest.mark.parametrize(("flops_share", "params_share"), [(70, 90), (90, 60), (55, 55)])
def test_two_budgets_against_brute_force(space, flops_share, params_share):
    model = Encoder(space.axes())
    flops, params = Flops(model, ids()), Params(model)
    budgets = [Budget.parse(f"{flops_share}%", flops), Budget.parse(f"{params_share}%", params)]
    allowed = [a for a in space.enumerate() if flops(a) <= budgets[0].limit and params(a) <= budgets[1].limit]
    for seed in range(4):
        given = drawn(space, seed)
        found = most_probable(space, given, budgets)
        assert found in allowed
        assert probability(found, given) == pytest.approx(max(probability(arch, given) for arch in allowed), rel=1e-9)


def test_two_budgets_in_a_large_space():
    cost = wide_cost()
    narrow = Params(cost.model)
    for seed in range(1):
        given = drawn(Wide, seed)
        budgets = [Budget.parse("70%", cost), Budget.parse("62%", narrow)]
        found = most_probable(Wide, given, budgets)
        assert all(budget.allows(found) for budget in budgets)
        rng = random.Random(seed)
        others = [a for a in (Wide.sample(rng) for _ in range(300)) if all(b.allows(a) for b in budgets)]
        assert probability(found, given) >= max((probability(arch, given) for arch in others), default=0.0)


def test_two_budgets_that_cannot_be_met_together_name_what_is_nearest():
    """Hidden is cheap in one cost and dear in the other: 20 of a and 20 of b each go, together they do not."""

    class Opposed(Space):
        hidden: Literal[24, 16, 12]

    class Spent(Params):
        unit = "units"

        def compute(self, arch):
            return float(arch.hidden)

    class Spared(Spent):
        def compute(self, arch):
            return 36.0 - arch.hidden

    model = enn.FeedForward(4, Opposed.axes().hidden)
    budgets = [Budget.parse(12, Spent(model)), Budget.parse(18, Spared(model))]
    with pytest.raises(BudgetError, match=r"within 12 units .* and 18 units .* together; nearest is Opp"):
        most_probable(Opposed, {"hidden": torch.ones(3) / 3}, budgets)
