"""Costs whose choices interact within a layer: sums over layers, and the exact minimum within budgets."""

import math
from typing import Annotated, Literal

import numpy as np
import pytest
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space
from elasticnas.cost import Budget, Cost
from elasticnas.cost.combinations import Combinations
from elasticnas.cost.layered import layered_cost
from elasticnas.cost.objective import Objective
from elasticnas.cost.solver import Solver


class Kinds(Space):
    """3,330 architectures of up to three layers: heads without effect where the layer mixes nothing."""

    hidden: Literal[5, 3, 2]
    depth: Literal[3, 2, 1]
    mixing: Annotated[tuple[Literal["full", "cheap", "none"], ...], PerLayer("depth")]
    heads: Annotated[tuple[Literal[4, 2], ...], PerLayer("depth", unless=("mixing", "none"))]
    inner: Annotated[tuple[Literal[7, 4], ...], PerLayer("depth")]


def work(arch):
    """Heads cost what the kind says, inner sizes the square of the width of the network."""
    each = {"full": 11, "cheap": 3, "none": 0}
    layers = zip(arch.mixing, arch.heads, arch.inner, strict=True)
    return 10 * arch.hidden + sum(each[m] * h * arch.hidden + i * arch.hidden**2 + (m == "cheap") for m, h, i in layers)


def neighbours(arch):
    """Layers that are alike share their weights: a sum over pairs of layers."""
    alike = sum(one == other for one, other in zip(arch.inner, arch.inner[1:], strict=False))
    return work(arch) - 30 * alike


def net():
    """A module with these axes, so that costs know the space."""
    axes, kinds = Kinds.axes(), ("full", "cheap", "none")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = enn.Stack(
                [
                    nn.ModuleList(
                        [
                            enn.Linear(axes.hidden, axes.heads[layer]),
                            enn.Linear(axes.hidden, axes.inner[layer]),
                            enn.Mixture({kind: nn.Identity() for kind in kinds}, axes.mixing[layer]),
                        ]
                    )
                    for layer in range(3)
                ],
                axes.depth,
            )

    return Net()


class Work(Cost):
    unit = "work"

    def compute(self, arch):
        return work(arch)


class Neighbours(Cost):
    unit = "work"

    def compute(self, arch):
        return neighbours(arch)


class Layers(Cost):
    unit = "layers"

    def compute(self, arch):
        return 4.0 - len(arch.inner)  # an opposed budget: fewer layers cost more


EVERY = list(Kinds.enumerate())


def combinations(cost):
    return Combinations(cost, Kinds, list(Kinds.choices()), Kinds.largest())


def test_the_sum_over_layers_is_the_cost_of_every_architecture():
    found = layered_cost(combinations(work))
    rows = np.stack([found.combinations.row(arch) for arch in EVERY])
    np.testing.assert_allclose(found.values(rows), [work(arch) for arch in EVERY], rtol=1e-12)
    assert found.allows(rows).all()
    assert [found.combinations.choices[p].name for p in found.joint] == ["hidden", "depth"]


@pytest.mark.parametrize("cost", [neighbours, lambda arch: work(arch) ** 1.5, lambda arch: max(map(float, arch.inner))])
def test_what_is_no_sum_over_layers_is_not_taken_for_one(cost):
    assert layered_cost(combinations(cost)) is None


def test_layers_that_differ_are_not_taken_for_alike():
    def later(arch):
        return work(arch) + sum(layer * size for layer, size in enumerate(arch.inner))

    assert layered_cost(combinations(later)) is None


def objective(seed, pairs=()):
    rng = np.random.default_rng(seed)
    values = {name: tuple(rng.normal(size=len(options)).tolist()) for name, options in Kinds.choices().items()}
    tables = {pair: rng.normal(size=tuple(len(Kinds.choices()[name]) for name in pair)) for pair in pairs}
    return Objective(Kinds, values, pairs=tables)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("opposed", [False, True])
def test_the_best_within_budgets_is_that_of_all(seed, opposed):
    model = net()
    given = objective(seed, [("mixing.0", "mixing.1")] if seed % 3 == 0 else [])
    limit = float(np.quantile([work(arch) for arch in EVERY], (0.02, 0.2, 0.5)[seed % 3]))
    budgets = [Budget(limit, Work(model), f"{limit:g}")]
    budgets += [Budget(2.0, Layers(model), "2")] if opposed else []
    allowed = [arch for arch in EVERY if work(arch) <= limit and (not opposed or len(arch.inner) >= 2)]
    solver = Solver(given, enumerated=1)
    found = solver.best(budgets, 3)
    expected = sorted(given(arch) for arch in allowed)[:3]
    assert solver.proven
    assert [given(arch) for arch in found] == pytest.approx(expected, abs=1e-9)
    assert all(budget.allows(arch) for budget in budgets for arch in found)


@pytest.mark.parametrize("seed", range(4))
def test_without_a_sum_nothing_over_the_budget_is_returned(seed):
    limit = float(np.quantile([neighbours(arch) for arch in EVERY], 0.1))
    budget, solver = Budget(limit, Neighbours(net()), f"{limit:g}"), Solver(objective(seed), enumerated=1)
    (found,) = solver.best([budget])
    assert neighbours(found) <= limit and math.isfinite(solver.objective(found))
