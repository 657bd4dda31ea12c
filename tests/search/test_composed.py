"""A strategy that is composed of others: its result bears its own name."""

from typing import Any

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas.cost import Flops
from elasticnas.search import Evolve, Problem, SearchResult, Strategy
from tests.run.test_reporting import Sizes


class Mine(Strategy):
    name = "mine"

    def search(self, problem: Problem, settings: Any = None, run: Any = None) -> SearchResult[Any]:
        """Only one."""
        return Evolve("random", trials=2).search(problem, settings, run)


class Deeper(Strategy):
    name = "deeper"

    def search(self, problem, settings=None, run=None):
        return Mine().search(problem, run=run)


@pytest.mark.parametrize(
    ("strategy", "name"), [(Mine(), "mine"), (Deeper(), "deeper"), (Evolve("random", 2), "evolve")]
)
def test_its_result_bears_its_own_name(strategy, name):
    model = nn.Sequential(enn.FeedForward(4, Sizes.axes().width))
    costs = {"flops": Flops(model, torch.zeros(1, 4))}
    problem = Problem(model, costs=costs, evaluate=lambda model: {"size": 1.0}, metric="size", direction="maximise")
    assert strategy.search(problem).strategy == name and Mine.search.__doc__ == "Only one."
