"""Searches as users of other fields write them: their models, options, metrics and mistakes; figures by hand."""

import json
import math
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from pydantic import model_validator
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space
from elasticnas.cost import Flops, Params
from elasticnas.errors import ConfigError, SearchError
from elasticnas.search import (
    DARTS,
    SPOS,
    BilevelSearcher,
    DynamicConstraint,
    Evolve,
    GradientStrategy,
    Problem,
    ProxylessNAS,
    RandomSearch,
    RecNAS,
    Reinforce,
    Relaxation,
    SearchResult,
    SearchSettings,
    SupernetTrainer,
)

pytestmark = pytest.mark.filterwarnings("ignore")

EVOLVES = [Evolve(method, trials=4, population=2) for method in ("nsga2", "local", "random")]
GRADIENTS = [DARTS(), ProxylessNAS(0), RecNAS(0), DynamicConstraint(0, depth=None, penalty="none"), Reinforce(0)]
STRATEGIES = [*GRADIENTS, SPOS(4), RandomSearch()]
TINY = SearchSettings(steps=3, update_every=1, evaluate_every=1, random_architectures=2)


def named(strategy):
    return f"{strategy.name}-{strategy.method}" if isinstance(strategy, Evolve) else strategy.name


evolves = pytest.mark.parametrize("strategy", EVOLVES, ids=named)
strategies = pytest.mark.parametrize("strategy", STRATEGIES, ids=named)
gradients = pytest.mark.parametrize("strategy", GRADIENTS, ids=named)


class Width(Space):
    width: Literal[8, 6, 4, 2]


class Ones(nn.Module):
    """Gives the width: its output at 1, with 2 parameters and 4 FLOPs a unit."""

    def __init__(self, sizes):
        super().__init__()
        self.a, self.b = enn.Linear(1, sizes.width, bias=False), enn.Linear(sizes.width, 1, bias=False)
        for parameter in self.parameters():
            nn.init.ones_(parameter)

    def forward(self, x):
        return self.b(self.a(x))


def output(model):
    return model(torch.ones(1, 1))


def widths(value=lambda model: float(output(model)), direction="maximise", metric="m", budgets=None, **further):
    def evaluate(model):
        return {metric: value(model), **further}

    model = Ones(Width.axes())
    costs = {"params": Params(model), "flops": Flops(model, torch.ones(1, 1))}
    return Problem(model, costs=costs, evaluate=evaluate, metric=metric, direction=direction, budgets=budgets)


FRONT = [(2, 2, 4, 8), (4, 4, 8, 16), (6, 6, 12, 24), (8, 8, 16, 32)]


def front(result, metric="m"):
    return [(c.architecture.width, c.metrics[metric], *c.costs.values()) for c in result.pareto]


@pytest.mark.parametrize(
    "value",
    [
        output,
        lambda model: output(model).sum(),
        lambda model: output(model).bfloat16(),
        lambda model: int(output(model)),
        lambda model: np.float32(float(output(model))),
        lambda model: np.array(float(output(model))),
    ],
    ids=["tensor", "0-d", "bfloat16", "int", "float32", "array"],
)
def test_a_metric_may_be_a_number_of_any_library(value):
    result = EVOLVES[0].search(widths(value))
    assert front(result) == FRONT and type(result.found.metrics["m"]) is float


@evolves
def test_less_of_a_metric_is_more_of_its_negative(strategy):
    more, less = strategy.search(widths()), strategy.search(widths(lambda model: -float(output(model)), "minimise"))
    assert [c.architecture for c in more.tried] == [c.architecture for c in less.tried]
    assert front(more) == FRONT and [c.architecture for c in less.pareto] == [c.architecture for c in more.pareto]
    assert [c.architecture.width for c in strategy.search(widths(direction="minimise")).pareto] == [2]


def test_other_metrics_may_be_anything_and_have_the_name_of_a_cost():
    result = EVOLVES[0].search(widths(params=math.nan, other=math.inf))
    back = SearchResult.from_dict(json.loads(json.dumps(result.to_dict())), Width)
    assert front(back) == FRONT and math.isnan(back.found.metrics["params"])
    assert front(EVOLVES[0].search(widths(metric="params")), "params") == FRONT


@evolves
@pytest.mark.parametrize(
    ("budgets", "best"),
    [
        ({"params": "100%"}, 8),
        ({"params": "100%", "flops": 24}, 6),
        ({"params": "50%", "flops": "75%"}, 4),
        ({"params": 4}, 2),
        ({"params": "25%"}, 2),
        ({"flops": np.int64(31)}, 6),
        ({"flops": np.float64(8)}, 2),
    ],
    ids=str,
)
def test_the_widest_within_every_budget_is_found(strategy, budgets, best):
    result = strategy.search(widths(budgets=budgets))
    assert result.best.width == result.random.architecture.width == best
    assert len(result.tried) == len(result.random_tried) == best // 2


def descent(sign):
    model = Ones(Width.axes())
    loss, batches = lambda model, batch: sign * model(batch).mean() / 8, [torch.ones(2, 1)]
    return Problem(model, loss, batches, batches, {"params": Params(model)})


class Rough(Relaxation):
    """Softmax of noisy logits, as a user writes it from the docs."""

    draws = True

    def __call__(self, logits, step, generator):
        return (logits + 0.1 * torch.randn(logits.shape, generator=generator)).softmax(0)


class Own(GradientStrategy):
    name = "own"

    def relaxation(self, settings):
        return Rough()


@pytest.mark.parametrize("strategy", [*GRADIENTS, Own()], ids=named)
def test_the_width_that_the_loss_asks_for_is_found(strategy):
    settings = SearchSettings(steps=60, update_every=1, architecture_lr=0.3, weight_lr=1e-9, random_architectures=1)
    wide, narrow = (strategy.search(descent(sign), settings) for sign in (-1, 1))
    assert (wide.best.width, narrow.best.width) == (8, 2)
    assert wide.found.metrics["loss"] == pytest.approx(-1) and narrow.found.metrics["loss"] == pytest.approx(0.25)
    assert wide.strategy == strategy.name


class Single(Space):
    width: Literal[4]


@pytest.mark.parametrize("strategy", [*STRATEGIES, *EVOLVES], ids=named)
@pytest.mark.parametrize("budgets", [None, {"params": "100%"}], ids=["free", "budget"])
def test_a_space_of_one_architecture(strategy, budgets):
    model = Ones(Single.axes())
    loss, batches = lambda model, batch: (model(batch) * 0).sum() + 3, [torch.ones(2, 1)]
    result = strategy.search(Problem(model, loss, batches, batches, {"params": Params(model)}, budgets=budgets), TINY)
    assert [(c.architecture.width, c.metrics["loss"]) for c in (result.found, result.random)] == [(4, 3)] * 2


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


class Inner(Space):
    hidden: Literal[8, 4]


class Rich(Space):
    """Every kind of option, nested, with layers that follow the depth, and a rule against the largest."""

    inner: Inner
    act: Literal["[red]", "[/x]", "a b/c"]
    on: bool
    scale: Literal[1, 1.5]
    one: Literal[3]
    depth: Literal[2, 1]
    widths: Annotated[tuple[Literal[8, 4], ...], PerLayer("depth")]

    @model_validator(mode="after")
    def not_both(self):
        if self.on and self.inner.hidden == 8:
            raise ValueError("a wide one is off")
        return self


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        acts = {"[red]": nn.ReLU(), "[/x]": nn.GELU(), "a b/c": nn.Tanh()}
        self.parts = nn.Sequential(
            enn.FeedForward(6, sizes.inner.hidden),
            enn.Mixture(acts, sizes.act),
            enn.Mixture({True: Scaled(1.0), False: Scaled(2.0)}, sizes.on),
            enn.Mixture({1: nn.Identity(), 1.5: Scaled(1.5)}, sizes.scale),
            enn.FeedForward(6, sizes.one),
            enn.Stack([enn.FeedForward(6, width) for width in sizes.widths], sizes.depth),
            nn.Linear(6, 2),
        )

    def forward(self, x):
        return self.parts(x)


def batches(epoch):
    x = torch.randn(3, 8, 6, generator=torch.Generator().manual_seed(epoch))
    return list(zip(x, (x.prod(-1) > 0).long(), strict=True))


def classes(model, example=None, logits=lambda model, x: model(x), **parts):
    def loss(model, batch):
        return nn.functional.cross_entropy(logits(model, batch[0]).float(), batch[1])

    costs = {"fl[o]ps": Flops(model, torch.zeros(1, 6) if example is None else example), "params": Params(model)}
    return Problem(model, loss, batches, lambda epoch: batches(1000 + epoch), costs, **parts)


def rich():
    torch.manual_seed(0)
    return Net(Rich.axes())


@strategies
def test_options_of_every_kind_are_searched_shown_and_read_back(strategy, tmp_path):
    budgets = {"fl[o]ps": "90%", "params": "100%"}
    result = strategy.search(classes(rich(), budgets=budgets), TINY)
    assert SearchResult.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False)), Rich) == result
    for candidate in (result.found, result.random, *result.random_tried, *result.tried, *result.pareto):
        assert not (candidate.architecture.on and candidate.architecture.inner.hidden == 8)
        assert len(candidate.architecture.widths) == candidate.architecture.depth
        assert all(candidate.costs[name] <= result.limits[name] for name in budgets)
    lines = str(result).splitlines()
    assert len(lines) <= 10 and max(map(len, lines)) <= 80
    assert f"act='{result.best.act}'" in str(result) and "fl[o]ps, FLOPs" in str(result)
    (chosen,) = [row for row in result.table() if row["chosen"] and row["search"] != "random search"]
    assert (chosen["act"], chosen["fl[o]ps"]) == (result.best.act, result.found.costs["fl[o]ps"])
    result.plot(tmp_path / "front.png")
    with pytest.raises(ConfigError, match=r"'path': write result\.plot\(path\), with a PNG file such as 'result\.png'"):
        result.plot()
    assert (tmp_path / "front.png").stat().st_size > 1000


class Tied(nn.Module):
    """A frozen layer, one whose weight two share, and logits within what a model of another library gives."""

    def __init__(self, sizes):
        super().__init__()
        self.a, self.frozen, self.b = nn.Linear(6, 6), nn.Linear(6, 6).requires_grad_(False), nn.Linear(6, 6)
        self.b.weight = self.a.weight
        self.ff, self.norm, self.head = enn.FeedForward(6, sizes.width), nn.BatchNorm1d(6), nn.Linear(6, 2)

    def forward(self, x):
        return {"logits": (self.head(self.ff(self.norm(self.frozen(self.b(self.a(x)))))),), "none": None}


@strategies
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_models_of_other_libraries_and_types(strategy, dtype):
    model = Tied(Width.axes()).to(dtype)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    strategy.search(classes(model, torch.zeros(1, 6, dtype=dtype), lambda m, x: m(x.to(dtype))["logits"][0]), TINY)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {"a.weight", "head.weight", "norm.running_mean"} <= changed and not {n for n in changed if "frozen" in n}
    assert model.b.weight is model.a.weight


@gradients
@pytest.mark.parametrize(
    ("lengths", "architecture_steps"),
    [
        ({"steps": 1, "update_every": 5}, 1),
        ({"steps": 7, "update_every": 3, "checkpoint_every": 1}, 3),
        ({"steps": 2, "update_every": 1, "warmup_steps": 50}, 0),
        ({"steps": 3, "update_every": 1, "checkpoint_every": 99, "accumulate": 7, "retries": 0}, 3),
        ({"steps": 3, "update_every": 2, "evaluate_every": 9}, 2),
    ],
    ids=str,
)
def test_lengths_at_their_extremes(strategy, lengths, architecture_steps):
    result = strategy.search(descent(1), SearchSettings(random_architectures=1, **lengths))
    assert (result.steps, len(result.history), len(result.random_tried)) == (lengths["steps"], architecture_steps, 1)
    assert not any("collapsed" in line for line in result.warnings)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: DARTS().search(classes(rich().to("meta")), TINY), SearchError, "Net has weights on meta"),
        (lambda: DARTS().search(classes(rich().requires_grad_(False)), TINY), SearchError, "no weights to train"),
        (lambda: SPOS(population=1), ConfigError, "population=1: an integer of at least 2 is needed"),
        (lambda: EVOLVES[0].search(widths(**{"3": [1]})), ConfigError, r"returns 3=\[1\]; a metric is a number"),
        (lambda: Problem(rich(), costs={5: Params(rich())}), ConfigError, "costs by name are needed"),
        (lambda: EVOLVES[0].search(replace(widths(), evaluate=lambda m: {3: 1, "m": 1})), ConfigError, "returns dict"),
    ],
    ids=["meta", "frozen", "population", "metric", "cost", "name"],
)
def test_a_mistake_is_one_line(wrong, error, message):
    with pytest.raises(error, match=message) as told:
        wrong()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("engine", [SupernetTrainer, BilevelSearcher])
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (torch.optim.SGD([torch.zeros(1)]), "is SGD"),
        ("adam", "is str"),
        (lambda weights: None, "makes NoneType"),
    ],
    ids=["optimizer", "text", "nothing"],
)
def test_an_optimizer_is_made_by_a_function(engine, make, told):
    with pytest.raises(ConfigError, match=f"optimizer {told}: a function from weights to an optimizer is needed"):
        engine(descent(1), optimizer=make).run()
