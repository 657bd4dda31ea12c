import json
import math
import warnings
from dataclasses import replace
from typing import Annotated, Literal

import pytest
import torch
from pydantic import model_validator
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space
from elasticnas.cost import Flops, Params
from elasticnas.errors import BudgetError, CheckpointError, InactiveChoiceError, SearchError
from elasticnas.extraction import axes_of
from elasticnas.run import Run
from elasticnas.search import (
    BilevelSearcher,
    DualAscent,
    Dynamic,
    Fixed,
    Gumbel,
    Problem,
    SearchResult,
    SearchSettings,
    Softmax,
    StraightThrough,
    Temperature,
    Tempered,
)
from elasticnas.search.second_order import unrolled_gradients


class Toy(Space):
    inner: Literal[16, 8, 2]
    depth: Literal[1, 2]


class Net(nn.Module):
    def __init__(self, sizes, dropout=0.0):
        super().__init__()
        blocks = [enn.FeedForward(4, sizes.inner, activation="tanh", dropout=dropout) for _ in range(2)]
        self.stack, self.head = enn.Stack(blocks, sizes.depth), nn.Linear(4, 4)

    def forward(self, x):
        return self.head(self.stack(x))


TEACHER = torch.randn(4, 4, generator=torch.Generator().manual_seed(9))


def batches(offset):
    def epoch(number):
        rng = torch.Generator().manual_seed(1000 * offset + number)
        for _ in range(5):
            x = torch.randn(16, 4, generator=rng)
            yield x, torch.tanh(x @ TEACHER)

    return epoch


TRAIN, HELD_OUT = batches(1), batches(2)


def loss(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def problem(model, loss=loss, train=TRAIN, held_out=HELD_OUT, cost=None, budget=None):
    budgets = None if budget is None else {"cost": budget}
    return Problem(model, loss, train, held_out, {"cost": cost or Params(model)}, budgets=budgets)


def searcher(steps=30, dropout=0.0, space=Toy, seed=3, budget=None, loss=loss, train=TRAIN, **options):
    torch.manual_seed(0)
    model = Net(space.axes(), dropout)
    settings = SearchSettings(
        steps=steps,
        update_every=2,
        evaluate_every=10,
        checkpoint_every=4,
        seed=seed,
        **{"architecture_lr": 0.1, **options.pop("settings", {})},
    )
    flops = Flops(model, torch.zeros(1, 4))
    return BilevelSearcher(problem(model, loss, train, cost=flops, budget=budget), settings, **options)


def run(work, folder=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return work.run(Run(folder, **options))


def figures(result):
    data = result.to_dict()
    data.pop("seconds")
    return data


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    "relaxation", [Softmax(), Tempered(Temperature.over(30)), Gumbel(Temperature.over(30)), StraightThrough()]
)
def test_every_relaxation_finds_an_architecture_within_the_budget(relaxation, order):
    work = searcher(relaxation=relaxation, penalty=Dynamic(0.1), budget="50%", settings={"order": order})
    result = run(work)
    cost = work.cost
    assert cost(result.best) <= 0.5 * cost(Toy.largest()) == result.limits["cost"]
    assert result.random.costs["cost"] <= result.limits["cost"]
    assert len(result.history) == 15 and all(0 <= h["entropy"]["inner"] <= 1 for h in result.history)
    assert {"step", "held_out_loss", "temperature", "expected_cost", "penalty_weight"} <= result.history[0].keys()
    assert result.steps == 30 and result.pareto[0].costs["cost"] <= result.found.costs["cost"]


class Ruled(Toy):
    """Half of the combinations are forbidden."""

    @model_validator(mode="after")
    def wide_or_deep(self):
        if (self.inner == 16) == (self.depth == 2):
            raise ValueError("inner=16 goes with depth=1 only, the others with depth=2")
        return self


@pytest.mark.parametrize("relaxation", [Gumbel, StraightThrough])
def test_draws_that_break_a_rule_are_drawn_again(relaxation):
    work = searcher(space=Ruled, relaxation=relaxation(Temperature(0.01, 0, 0.01)))
    for _ in range(50):
        drawn = {name: Ruled.choices()[name][int(p.argmax())] for name, p in work.controller.sample(0).items()}
        Ruled.from_assignment(drawn)
    assert isinstance(run(work).best, Ruled)
    with torch.no_grad():
        work.controller.logits["inner"].copy_(torch.tensor([99.0, 0, 0]))
        work.controller.logits["depth"].copy_(torch.tensor([0.0, 99.0]))
    with pytest.raises(SearchError, match="none of 1,000 draws obeys its rules"):
        work.controller.sample(0)


def test_a_strong_penalty_finds_the_cheapest_network():
    result = run(searcher(steps=80, penalty=Fixed(20.0)))
    assert result.best == Toy.smallest()


def test_dual_ascent_brings_the_expected_cost_to_the_limit():
    work = searcher(steps=400, penalty=DualAscent(0.25, rate=0.05))
    result = run(work)
    assert result.history[0]["expected_cost"] > 0.4 * work.cost(Toy.largest())
    assert result.history[-1]["expected_cost"] < 0.3 * work.cost(Toy.largest())


@pytest.mark.parametrize("stop", [1, 7, 20, 29])
def test_resume_gives_the_figures_of_the_uninterrupted_run(tmp_path, stop):
    options = {"relaxation": Gumbel(Temperature.over(30)), "penalty": DualAscent(0.5), "dropout": 0.3}
    whole = figures(run(searcher(**options)))

    class Killed(Exception):
        pass

    def kill(progress):
        if progress.step == stop:
            raise Killed

    with pytest.raises(Killed):
        run(searcher(**options), tmp_path / "c", progress=kill)
    torch.randn(5)  # the global generator has gone elsewhere meanwhile
    assert figures(run(searcher(**options), tmp_path / "c", resume=True)) == whole


def test_a_seed_reproduces_a_run_and_another_does_not():
    def found(seed):
        return figures(run(searcher(relaxation=Gumbel(Temperature.over(30)), seed=seed)))

    one, two, other = found(3), found(3), found(4)
    assert one == two
    assert one["history"] != other["history"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    run(searcher(steps=4), tmp_path)
    with pytest.raises(CheckpointError, match=r"belongs to another run, settings\.[a-z_]+ was .* is"):
        run(searcher(steps=8), tmp_path, resume=True)
    (tmp_path / "checkpoint").write_bytes(b"PK nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        run(searcher(steps=4), tmp_path, resume=True)


def test_a_checkpoint_of_another_method_is_refused(tmp_path):
    run(searcher(steps=8, relaxation=Gumbel(), penalty=Fixed(0.1)), tmp_path)
    for message, other in (
        ("relaxation.kind was 'Gumbel', is 'Softmax'", {"penalty": Fixed(0.1)}),
        ("penalty._weight was 0.1, is 0.2", {"relaxation": Gumbel(), "penalty": Fixed(0.2)}),
        ("relaxation.temperature.floor was 0.01, is 0.1", {"relaxation": Gumbel(Temperature(floor=0.1))}),
        ("optimizer.", {"relaxation": Gumbel(), "optimizer": lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9)}),
    ):
        with pytest.raises(CheckpointError) as raised:
            run(searcher(steps=8, **{"penalty": Fixed(0.1), **other}), tmp_path, resume=True)
        assert message in str(raised.value) and len(str(raised.value)) < 300


def test_a_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "checkpoint"
    run(searcher(steps=8), tmp_path)
    data = path.read_bytes()
    for position in range(0, len(data), len(data) // 50):
        path.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        with pytest.raises(CheckpointError, match="damaged"):
            run(searcher(steps=8), tmp_path, resume=True)


class Large(Space):
    """More combinations than a cost table holds."""

    inner: Annotated[tuple[Literal[4, 2, 1], ...], PerLayer(10)]


class Layers(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.feed = nn.ModuleList(enn.FeedForward(4, inner, activation="tanh") for inner in sizes.inner)

    def forward(self, x):
        for layer in self.feed:
            x = x + layer(x)
        return x


@pytest.mark.parametrize("budget", [None, "37%"])
def test_a_space_beyond_every_table_is_searched(budget):
    torch.manual_seed(0)
    model = Layers(Large.axes())
    cost = Params(model)
    settings = SearchSettings(steps=20, update_every=4, architecture_lr=0.1, random_architectures=3)
    given = problem(model, cost=cost, budget=budget)
    result = run(BilevelSearcher(given, settings, penalty=Fixed(0.5), relaxation=Gumbel()))
    limit = math.inf if budget is None else float(budget[:-1]) / 100 * cost(Large.largest())
    found = result.found.costs["cost"]
    assert found <= limit * (1 + 1e-9)
    assert 1 <= len(result.random_tried) <= 3
    assert all(candidate.costs["cost"] <= max(limit, found) for candidate in result.random_tried)


def test_the_cost_of_layers_that_do_not_interact_is_expected_exactly_beyond_every_table():
    model = Layers(Large.axes())
    cost = Flops(model, torch.zeros(1, 4))
    p = torch.rand(10, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    expected = cost.expected({"inner": p / p.sum(-1, keepdim=True)})
    by_hand = (16 * (p / p.sum(-1, keepdim=True)) @ torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)).sum()
    torch.testing.assert_close(expected, by_hand)
    (gradient,) = torch.autograd.grad(expected, p, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(by_hand, p)[0])


def test_random_search_agrees_with_the_budget_to_rounding():
    """29/100 * 100 is a little less than 29."""

    class Two(Space):
        units: Literal[100, 29]

    class Wide(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.up, self.down = enn.Linear(4, sizes.units, bias=False), enn.Linear(sizes.units, 4, bias=False)

        def forward(self, x):
            return self.down(self.up(x))

    model = Wide(Two.axes())
    given = problem(model, cost=Flops(model, torch.zeros(1, 4)), budget="29%")
    result = run(BilevelSearcher(given, SearchSettings(steps=4)))
    assert result.best == result.random.architecture == Two(units=29)


def test_collapse_and_budget_are_warned_of():
    work = searcher(steps=40, penalty=Fixed(500.0), settings={"architecture_lr": 3.0})
    with pytest.warns(UserWarning, match="collapsed to one option by step"):
        work.run()


def test_impossible_budget_names_the_smallest_reachable():
    with pytest.raises(BudgetError, match="smallest"):
        searcher(budget="1%")


def test_a_choice_that_reaches_nothing_is_refused():
    class Idle(Space):
        hidden: Literal[4, 2]
        nothing: Literal[1, 2]

    given = problem(nn.Sequential(enn.Linear(4, Idle.axes().hidden)), cost=Params(Net(Toy.axes())))
    with pytest.raises(InactiveChoiceError, match="nothing"):
        BilevelSearcher(given, SearchSettings(steps=1))


def test_a_loss_that_is_not_finite_stops_the_search():
    with pytest.raises(SearchError, match="training loss is nan at step 0"):
        searcher(loss=lambda model, batch: loss(model, batch) * float("nan")).run()


def test_no_batch_is_an_error():
    with pytest.raises(SearchError, match="train: epoch 0 has no batch"):
        searcher(train=lambda epoch: []).run()


def test_expected_cost_gradient_reaches_the_architecture_parameters():
    work = searcher()
    logits = {n: torch.randn(len(o), dtype=torch.float64, requires_grad=True) for n, o in Toy.choices().items()}

    def cost():
        return work.cost.expected({name: value.softmax(-1) for name, value in logits.items()})

    cost().backward()
    for value in logits.values():
        for index in range(len(value)):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    value[index] += sign * 1e-6
                    ends.append(float(cost()))
                    value[index] -= sign * 1e-6
            assert value.grad[index].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)
        assert value.grad.abs().max() > 1


def test_second_order_gradient_matches_the_exact_one_of_a_quadratic():
    w = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    a = torch.tensor([0.5, 0.3], dtype=torch.float64, requires_grad=True)
    rate = 0.1

    def train_loss():
        return ((w * a) ** 2).sum() + w.sum()

    def held_out_loss():
        return (w - 3 * a).square().sum()

    gradients, _ = unrolled_gradients(train_loss, held_out_loss, [w], [a], rate)
    exact_w = w - rate * (2 * w * a**2 + 1)
    (exact,) = torch.autograd.grad((exact_w - 3 * a).square().sum(), [a])
    assert torch.allclose(gradients[0], exact, rtol=1e-3)
    assert w.tolist() == [1.0, -2.0]


class Added(nn.Module):
    """The sum of ``inner`` linear units: the loss is quadratic in the weights, and the mask of ``inner`` is in it."""

    def __init__(self, sizes):
        super().__init__()
        self.units = enn.Linear(4, sizes.inner, bias=False)

    def forward(self, x):
        return self.units(x).sum(-1)


class Units(Space):
    inner: Literal[3, 2, 1]


NOTHING = {"evaluate": lambda model: {"nothing": 0.0}, "metric": "nothing", "direction": "maximise"}


def tagged(tag):
    x, y = torch.randn(8, 4, generator=torch.Generator().manual_seed(len(tag))), torch.ones(8)
    return lambda epoch: [(tag, x, y)] * 5


@pytest.mark.parametrize("order", [1, 2])
def test_architecture_steps_see_held_out_batches_and_weight_steps_training_batches(order):
    """Algorithm 1: after the warm-up, every update_every weight steps one architecture step."""
    model, seen = Added(Units.axes()), []

    def tell(model, batch):
        tag, x, y = batch
        # whether the relaxed sizes pass gradients on to the architecture parameters
        seen.append((tag, model.units.outputs.at().weights.requires_grad))
        return (model(x) - y).square().mean()

    settings = SearchSettings(steps=9, update_every=3, warmup_steps=2, order=order)
    given = replace(problem(model, tell, tagged("train"), tagged("held-out")), **NOTHING)
    work = BilevelSearcher(given, settings)
    for descent, name in ((work._descent, "weights"), (work._architecture, "architecture")):
        descent.optimizer.register_step_pre_hook(lambda *_, name=name: seen.append(name))
    run(work)
    weight_step = [("train", False), "weights"]
    if order == 1:
        architecture_step = [("held-out", True), "architecture"]
    else:
        # the virtual step, its held-out loss, and the two ends of the finite difference
        architecture_step = [("train", True), ("held-out", True), ("train", True), ("train", True), "architecture"]
    assert seen == [*weight_step * 4, *architecture_step, *weight_step * 3, *architecture_step, *weight_step * 2]


@pytest.mark.parametrize(("order", "xi"), [(1, 0.0), (2, 0.1)])
def test_the_architecture_step_takes_the_gradient_of_its_order(order, xi):
    """The gradient of the held-out loss at ``w - xi * grad of the training loss``, with xi = 0 at first order."""
    torch.manual_seed(0)
    model = Added(Units.axes())
    train, held_out = (tagged(tag)(0)[0] for tag in ("train", "held-out"))

    def exact(xi):
        weight = model.units.weight.detach().requires_grad_()
        logits = work.controller.logits["inner"].detach().requires_grad_()
        mask = logits.softmax(-1) @ torch.tensor([[1.0, 1, 1], [1, 1, 0], [1, 0, 0]])

        def by_hand(w, batch):
            return ((batch[1] @ w.T * mask).sum(-1) - batch[2]).square().mean()

        (slope,) = torch.autograd.grad(by_hand(weight, train), weight, create_graph=True)
        return torch.autograd.grad(by_hand(weight - xi * slope, held_out), logits)[0]

    work = BilevelSearcher(
        problem(model, lambda model, batch: (model(batch[1]) - batch[2]).square().mean(), [train], [held_out]),
        SearchSettings(steps=1, update_every=1, order=order),
        optimizer=lambda weights: torch.optim.SGD(weights, lr=0.1),
    )
    found = []
    work._architecture.optimizer.register_step_pre_hook(
        lambda *_: found.append((work.controller.logits["inner"].grad.clone(), exact(xi), exact(0.1 - xi)))
    )
    run(work)
    ((taken, right, of_the_other_order),) = found
    torch.testing.assert_close(taken, right, rtol=1e-2, atol=1e-4)
    assert not torch.allclose(taken, of_the_other_order, rtol=0.1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda found: found.item(), r"^the loss is float [0-9.]+; loss returns a scalar tensor that depends on the"),
        (lambda found: found.detach(), r"^the loss is a tensor of shape \(\) without a gradient; "),
        (lambda found: found[None].expand(3), r"^the loss is a tensor of shape \(3,\); "),
        (lambda found: None, "^the loss is NoneType None; "),
    ],
)
@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_a_loss_that_is_no_scalar_with_a_gradient_is_refused(wrong, message, held_out, order):
    def given(model, batch):
        calls.append(1)  # the first is the weight step's
        found = loss(model, batch)
        return wrong(found) if len(calls) > held_out else found

    calls = []
    with pytest.raises(SearchError, match=message):
        run(searcher(loss=given, settings={"order": order}))


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_gradients_of_weights_that_are_not_finite_reach_neither_weights_nor_checkpoint(tmp_path, clip_norm):
    def root(model, batch):
        found = loss(model, batch)
        slope = (model.head.bias[0] - model.head.bias[0].detach()).square().sqrt()
        return found + slope if work.step >= 5 else found

    work = searcher(loss=root, settings={"clip_norm": clip_norm})
    with pytest.raises(SearchError, match=r"^the gradients of the weights have the norm nan at step 5 although the"):
        run(work, tmp_path)
    assert all(parameter.isfinite().all() for parameter in work.model.parameters())
    assert run(searcher(settings={"clip_norm": clip_norm}), tmp_path, resume=True).steps == 30


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_the_architecture_that_are_not_finite_do_not_reach_it(order):
    class Rooted(Fixed):
        def __call__(self, expected, current, largest):
            return (expected - expected.detach()).square().sqrt()

    work = searcher(penalty=Rooted(0.1), settings={"order": order})
    with pytest.raises(SearchError, match=r"^the gradients of the architecture parameters have the norm nan at step 0"):
        run(work)
    assert all(logits.isfinite().all() for logits in work.controller.parameters())


def test_evaluations_on_the_way_are_kept():
    asked = []

    def evaluate(model):
        asked.append((axes_of(model).current(), float(len(asked))))
        return {"number": asked[-1][1]}

    torch.manual_seed(0)
    given = problem(Net(Toy.axes()))
    settings = SearchSettings(steps=9, evaluate_every=2, architecture_lr=0.3, random_architectures=1)
    work = BilevelSearcher(replace(given, evaluate=evaluate, metric="number", direction="maximise"), settings)
    result = run(work)
    assert [(each.architecture, each.metrics["number"]) for each in result.validated] == asked[:4]
    assert result.found.metrics["number"] == 4.0 and len(asked) <= 6
    assert result.evaluated == len({arch for arch, _ in asked})
    again = SearchResult.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False)), Toy)
    assert again.validated == result.validated
