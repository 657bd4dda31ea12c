"""The minimum of an objective within budgets, against enumeration."""

import itertools
import math
import random
from typing import Annotated, Literal

import numpy as np
import pytest
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space
from elasticnas.cost import Budget, Cost
from elasticnas.cost.objective import Objective
from elasticnas.cost.separable import separable
from elasticnas.cost.solver import Solver
from elasticnas.errors import BudgetError
from tests.cost.layered_space import Ruled, Sizes, Work, net, work


class Weights(Cost):
    unit = "weights"

    def compute(self, arch):
        return weights(arch)


class Waste(Cost):
    """Higher for narrow layers: an opposed budget."""

    unit = "waste"

    def compute(self, arch):
        return waste(arch)


def weights(arch):
    return float(
        100 * arch.hidden + sum((n + 1) * i * h for n, (i, h) in enumerate(zip(arch.inner, arch.heads, strict=True)))
    )


def waste(arch):
    return float(200 - sum(arch.inner) - 3 * arch.depth)


COSTS = {Work: work, Weights: weights, Waste: waste}


def objective(space, seed, pairs=0):
    rng = np.random.default_rng(seed)
    choices = space.choices()
    values = {name: tuple(rng.normal(size=len(options)).tolist()) for name, options in choices.items()}
    every = list(itertools.combinations(choices, 2))
    chosen = [every[place] for place in rng.permutation(len(every))[:pairs]]
    tables = {pair: 2 * rng.normal(size=[len(choices[name]) for name in pair]) for pair in chosen}
    return Objective(space, values, {}, tables)


def total(given, arch, idle=()):
    """The objective, by hand; ``idle`` has the names of choices without effect."""
    choices, fields = type(arch).choices(), arch.model_dump()
    at = {}
    for name, options in choices.items():
        field, _, layer = name.partition(".")
        if not layer:
            at[name] = options.index(fields[field])
        elif int(layer) < len(fields[field]):
            at[name] = options.index(fields[field][int(layer)])
    at = {name: place for name, place in at.items() if name not in idle}
    pairs = [table[at[a], at[b]] for (a, b), table in given.pairs.items() if a in at and b in at]
    return sum(given.values[name][place] for name, place in at.items()) + sum(pairs)


@pytest.mark.parametrize("space", [Sizes, Ruled])
@pytest.mark.parametrize("kinds", [(), (Work,), (Work, Weights), (Work, Weights, Waste)])
@pytest.mark.parametrize("pairs", [0, 4])
@pytest.mark.parametrize("enumerated", [0, 50_000])
def test_the_best_five_against_enumeration(space, kinds, pairs, enumerated):
    model = net(space)
    archs = list(space.enumerate())
    costs = [kind(model) for kind in kinds]
    for seed in range(3):
        given = objective(space, seed, pairs)
        inside = random.Random(seed).choice(archs)  # so that the budgets can be met together
        limits = [COSTS[kind](inside) * random.Random(seed).choice([1.0, 1.1]) for kind in kinds]
        budgets = [Budget(limit, cost, "given") for limit, cost in zip(limits, costs, strict=True)]
        allowed = [a for a in archs if all(COSTS[k](a) <= m for k, m in zip(kinds, limits, strict=True))]
        values = sorted(total(given, arch) for arch in allowed)[:5]
        solver = Solver(given, enumerated)
        found = solver.best(budgets, count=5)
        assert [total(given, arch) for arch in found] == pytest.approx(values, abs=1e-9)
        assert len(set(found)) == len(found) and set(found) <= set(allowed) and solver.proven


class Idle(Space):
    """399 architectures: heads are absent where a layer has no attention."""

    depth: Literal[3, 2, 1]
    kind: Annotated[tuple[Literal["none", "softmax", "linrec"], ...], PerLayer("depth")]
    heads: Annotated[tuple[Literal[2, 1, 3], ...], PerLayer("depth", unless=("kind", "none"))]


class Counted(Cost):
    """The kinds of attention have a cost, their heads have none."""

    unit = "work"

    def compute(self, arch):
        return counted(arch)


def counted(arch):
    return 10.0 + sum({"none": 1, "softmax": 6, "linrec": 4}[kind] for kind in arch.kind)


@pytest.mark.parametrize("pairs", [0, 3])
def test_choices_that_another_makes_absent_have_no_value(pairs):
    axes = Idle.axes()
    layers = [
        enn.Mixture({"none": nn.Identity(), **{n: enn.Attention(4, heads, 2, n) for n in ("softmax", "linrec")}}, kind)
        for kind, heads in zip(axes.kind, axes.heads, strict=True)
    ]
    cost = Counted(enn.Stack(layers, axes.depth))
    archs = list(Idle.enumerate())
    assert len(archs) == 7 + 7**2 + 7**3
    for seed in range(20):
        given = objective(Idle, seed, pairs)
        limit = counted(random.Random(seed).choice(archs))
        idle = {arch: {f"heads.{n}" for n, kind in enumerate(arch.kind) if kind == "none"} for arch in archs}
        allowed = sorted(total(given, a, idle[a]) for a in archs if counted(a) <= limit)
        solver = Solver(given, 0)
        found = solver.best([Budget(limit, cost, "given")], count=5)
        assert [total(given, arch, idle[arch]) for arch in found] == pytest.approx(allowed[:5], abs=1e-9)
        assert len(set(found)) == len(found) and solver.proven


class Uneven(Cost):
    """The width scales each layer by a factor of its own."""

    unit = "work"

    def compute(self, arch):
        return uneven(arch)


def uneven(arch):
    layers = enumerate(zip(arch.inner, arch.heads, strict=True))
    return float(sum((10 * n + arch.hidden) ** 2 * i + arch.hidden * h for n, (i, h) in layers))


def test_a_width_that_scales_each_layer_by_another_factor():
    given, model = objective(Sizes, 3), net(Sizes)
    for percent in (30, 60):
        budget = Budget(uneven(Sizes.largest()) * percent / 100, Uneven(model), f"{percent}%")
        solver = Solver(given, 0)
        (found,) = solver.best([budget])
        expected = min(total(given, arch) for arch in Sizes.enumerate() if uneven(arch) <= budget.limit)
        assert total(given, found) == pytest.approx(expected) and uneven(found) <= budget.limit and solver.proven


def test_excluded_options_are_never_chosen():
    given = objective(Sizes, 0)
    for name in ("depth", "inner.0"):
        worst = min(range(3), key=given.values[name].__getitem__)
        given.values[name] = tuple(math.inf if i == worst else v for i, v in enumerate(given.values[name]))
    model = net(Sizes)
    budget = Budget(work(Sizes.largest()) * 0.6, Work(model), "60%")
    expected = min(total(given, arch) for arch in Sizes.enumerate() if work(arch) <= budget.limit)
    for enumerated in (0, 50_000):
        (found,) = Solver(given, enumerated).best([budget])
        assert total(given, found) == pytest.approx(expected)


def test_a_cost_that_is_no_sum_is_met_by_a_greedy_search():
    class Peak(Cost):
        unit = "peak"

        def compute(self, arch):
            return float(arch.hidden + max(arch.inner) ** 2)

    given, model = objective(Sizes, 1), net(Sizes)
    budget = Budget(32.0, Peak(model), "32")
    assert separable(given, [budget]) is None
    solver = Solver(given, 0)
    found = solver.best([budget], count=3)
    assert len(found) == 3 and all(a.hidden + max(a.inner) ** 2 <= 32 for a in found) and not solver.proven
    values = [total(given, arch) for arch in Sizes.enumerate() if arch.hidden + max(arch.inner) ** 2 <= 32]
    assert total(given, found[0]) == pytest.approx(min(values))


def test_budgets_that_cannot_be_met_are_named():
    model = net(Sizes)
    budgets = [Budget(40.0, Work(model), "40"), Budget(1e9, Weights(model), "1e9")]
    with pytest.raises(BudgetError, match=r"^budget 40 \(40 work\) is below the smallest reachable cost, 42 work"):
        Solver(objective(Sizes, 0), 0).best(budgets)
    budgets = [Budget(42.0, Work(model), "42"), Budget(180.0, Waste(model), "180")]
    with pytest.raises(BudgetError, match=r"each can be met, but not all together; the closest architecture"):
        Solver(objective(Sizes, 0), 0).best(budgets)


def test_a_cost_that_is_not_as_the_sum_says_is_not_taken():
    """Separable at every drawn architecture, but not at one that the solver would choose."""

    class Trap(Cost):
        unit = "work"

        def compute(self, arch):
            return work(arch) + (1e6 if arch == trap else 0.0)

    given, model = objective(Sizes, 2), net(Sizes)
    limit = work(Sizes.largest()) * 0.7
    order = sorted((a for a in Sizes.enumerate() if work(a) <= limit), key=lambda arch: total(given, arch))
    trap = order[0]
    (found,) = Solver(given, 0).best([Budget(limit, Trap(model), "70%")])
    assert found == order[1] or total(given, found) >= total(given, order[1])
