import math
import warnings
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Literal

import pytest
import torch
from pydantic import model_validator
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space, axes_of, elastify
from elasticnas.cost import Flops, Latency, Params
from elasticnas.errors import CheckpointError, ConfigError, PluginError, SearchError
from elasticnas.plugins import STRATEGIES, load_plugin, plugin_names
from elasticnas.run import Run
from elasticnas.search import (
    DARTS,
    SPOS,
    BilevelSearcher,
    Dynamic,
    DynamicConstraint,
    Evolve,
    Gumbel,
    Problem,
    ProxylessNAS,
    Pruning,
    RandomSearch,
    RecNAS,
    Reinforce,
    SearchSettings,
    Softmax,
    Temperature,
)
from elasticnas.search.collapse import undecided_or_collapsed
from elasticnas.search.controller import Controller
from elasticnas.search.strategies.one_shot import evaluations
from elasticnas.testing import StrategyContract


class TestDARTS(StrategyContract):
    def strategy(self):
        return DARTS()


class TestSecondOrderDARTS(StrategyContract):
    settings = StrategyContract.settings.model_copy(update={"order": 2, "update_every": 4})

    def strategy(self):
        return DARTS()


class TestProxylessNAS(StrategyContract):
    def strategy(self):
        return ProxylessNAS()


class TestRecNAS(StrategyContract):
    def strategy(self):
        return RecNAS()


class TestSPOS(StrategyContract):
    learns_probabilities = False

    def strategy(self):
        return SPOS()


class TestRandomSearch(StrategyContract):
    learns_probabilities = False

    def strategy(self):
        return RandomSearch()


class TestDynamicConstraint(StrategyContract):
    def strategy(self):
        return DynamicConstraint()


class TestReinforce(StrategyContract):
    def strategy(self):
        return Reinforce()


class Sizes(Space):
    hidden: Literal[8, 6, 4, 2]
    inner: Literal[8, 4]


class Ruled(Sizes):
    @model_validator(mode="after")
    def not_narrow_in_narrow(self):
        if (self.hidden == 2) == (self.inner == 4):
            raise ValueError("hidden=2 goes with inner=8 only, the others with inner=4")
        return self


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.up, self.down = enn.Linear(4, sizes.hidden), enn.Linear(sizes.hidden, 4)
        self.feed_forward = enn.FeedForward(sizes.hidden, sizes.inner, activation="tanh")

    def forward(self, x):
        x = self.up(x)
        return self.down(x + self.feed_forward(x))


def batches(epoch):
    rng = torch.Generator().manual_seed(epoch)
    return (torch.randn(16, 4, generator=rng) for _ in range(4))


def loss(model, batch):
    return (model(batch) - batch.sin()).square().mean()


def held_out(epoch):
    return batches(epoch + 100)


def problem(space=Sizes, budget=None, evaluate=None, **changes):
    torch.manual_seed(0)
    model = Net(space.axes())
    given = {"model": model, "loss": loss, "train": batches, "held_out": held_out, "costs": {"cost": Params(model)}}
    if evaluate is not None:
        given |= {"evaluate": evaluate, "metric": "loss", "direction": "minimise"}
    return Problem(**given | changes, budgets=None if budget is None else {"cost": budget})


def settings(**changes):
    given = {"steps": 24, "update_every": 2, "weight_lr": 0.02, "architecture_lr": 0.1, "random_architectures": 4}
    return SearchSettings(**(given | changes))


def quiet(strategy, given, settings, folder=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return strategy.search(given, settings, Run(folder, **options))


def named(name):
    """A strategy by its name, for a space without a depth."""
    return DynamicConstraint(depth=None) if name == "dynamic-constraint" else load_plugin(STRATEGIES, name)()


NAMES = ["darts", "dynamic-constraint", "proxylessnas", "random", "recnas", "reinforce", "spos"]
MIXING = {"darts", "dynamic-constraint", "proxylessnas", "recnas"}


def figures(result):
    return {key: value for key, value in result.to_dict().items() if key != "seconds"}


def test_every_strategy_is_there_by_name_and_needs_no_argument():
    assert set(NAMES) <= set(plugin_names(STRATEGIES))
    assert all(load_plugin(STRATEGIES, name)().name == name for name in NAMES)
    with pytest.raises(PluginError, match=r"no plug-in 'easrec' in .*; installed are darts, dynamic"):
        load_plugin(STRATEGIES, "easrec")


def test_a_checkpoint_of_another_strategy_is_refused(tmp_path):
    quiet(SPOS(), problem(), settings(), tmp_path / "c")
    with pytest.raises(CheckpointError, match="strategy was 'spos', is 'random'"):
        quiet(RandomSearch(), problem(), settings(), tmp_path / "c", resume=True)
    for other, resume in ((DARTS(), True), (RandomSearch(), False)):
        with pytest.raises(CheckpointError, match=r"(belongs to another run|holds a run already)"):
            quiet(other, problem(), settings(), tmp_path / "c", resume=resume)


@pytest.mark.parametrize("name", NAMES)
def test_rules_of_the_space_are_kept_under_a_budget(name):
    given = problem(Ruled, budget="70%")
    result = quiet(named(name), given, settings())
    assert isinstance(result.best, Ruled) and given.costs["cost"](result.best) <= result.limits["cost"]


def test_second_order_differs_from_first():
    first, second = (quiet(DARTS(), problem(), settings(order=order)).probabilities["hidden"] for order in (1, 2))
    assert first != pytest.approx(second, abs=1e-4)


def test_darts_does_not_look_at_the_cost():
    costly = problem()
    cost = costly.costs["cost"]
    cost.compute = lambda arch, compute=cost.compute: compute(arch) ** 3
    assert quiet(DARTS(), costly, settings()).probabilities == quiet(DARTS(), problem(), settings()).probabilities


@pytest.mark.parametrize(
    "strategy", [ProxylessNAS, RecNAS, Reinforce, lambda weight: DynamicConstraint(weight, depth=None)]
)
def test_a_large_weight_of_the_cost_finds_the_cheapest(strategy):
    assert quiet(strategy(100.0), problem(), settings(steps=60)).best == Sizes.smallest()
    with pytest.raises(ConfigError, match="penalty weight -1"):
        strategy(-1)


def test_a_weight_step_of_proxylessnas_runs_one_architecture_sliced():
    seen = []

    def watched(model, batch):
        frame = axes_of(model).scopes.frame()
        seen.append((torch.is_grad_enabled(), getattr(frame, "arch", None)))
        return loss(model, batch)

    quiet(ProxylessNAS(), problem(loss=watched), settings(random_architectures=1))
    trained = [arch for gradients, arch in seen if gradients]
    assert sum(arch is None for arch in trained) == 12  # architecture steps
    assert sum(arch is not None for arch in trained) == 24 and len(set(trained)) > 4


def test_an_architecture_step_of_proxylessnas_moves_two_probabilities_and_knows_the_cost_of_all():
    given = problem()
    history = quiet(ProxylessNAS(), given, settings()).history
    for before, after in pairwise(history):
        moved = [
            abs(p - q) > 1e-6 for p, q in zip(*(r["probabilities"]["hidden"] for r in (before, after)), strict=True)
        ]
        assert sum(moved) == 2
        believed = {name: torch.tensor(p) for name, p in before["probabilities"].items()}
        assert after["expected_cost"] == pytest.approx(float(given.costs["cost"].expected(believed)), rel=1e-5)


def test_spos_trains_one_architecture_a_step_drawn_uniformly():
    drawn = []

    def watched(model, batch):
        if torch.is_grad_enabled():
            drawn.append(axes_of(model).current())
        return loss(model, batch)

    quiet(SPOS(), problem(loss=watched), settings(steps=160))
    assert len(drawn) == 160 and set(drawn) == set(Sizes.enumerate())
    assert max(map(drawn.count, drawn)) < 40


def test_spos_trains_the_largest_and_the_smallest_in_every_step_of_a_sandwich():
    drawn = []

    def watched(model, batch):
        if torch.is_grad_enabled():
            drawn.append(axes_of(model).current())
        return loss(model, batch)

    quiet(SPOS(rule="sandwich"), problem(loss=watched), settings(steps=10))
    steps = [drawn[first : first + 4] for first in range(0, len(drawn), 4)]
    assert len(steps) == 10
    assert all(Sizes.largest() in step and Sizes.smallest() in step for step in steps)
    with pytest.raises(ConfigError, match="rule='both': choose 'single', 'random' or 'sandwich'"):
        SPOS(rule="both")


def test_pruned_options_never_come_back_and_have_probability_0():
    result = quiet(RecNAS(threshold=0.9), problem(), settings(steps=80, warmup_steps=8))
    for name, options in Sizes.choices().items():
        gone = [[p == 0.0 for p in record["probabilities"][name]] for record in result.history]
        for before, after in pairwise(gone):
            assert all(later for earlier, later in zip(before, after, strict=True) if earlier)
        assert any(gone[-1]) and not all(gone[-1])
        assert result.probabilities[name][options.index(getattr(result.best, name))] > 0
    counts = [sum(map(sum, (([p == 0.0 for p in ps]) for ps in h["probabilities"].values()))) for h in result.history]
    assert 0 == counts[0] < max(counts) and len(set(counts)) > 2, "pruned at once, or never"


@pytest.mark.parametrize(("space", "budget"), [(Sizes, "20%"), (Ruled, "50%"), (Ruled, None)])
def test_pruning_leaves_an_architecture_within_rules_and_budget(space, budget):
    """Accuracy alone wants the widest: without care, pruning would drop all that the budget allows."""
    given = problem(space, budget=budget, loss=lambda model, batch: -model(batch).square().mean().clamp_max(1e3))
    result = quiet(RecNAS(weight=0.0, threshold=0.99), given, settings(steps=60, architecture_lr=0.5))
    chosen = [result.probabilities[name][index] for name, index in space.indices(result.best).items()]
    assert all(p > 0 for p in chosen) and any(0.0 in p for p in result.probabilities.values())
    cost, limit = given.costs["cost"], result.limits.get("cost", math.inf)
    assert cost(result.best) <= limit
    left = {n: [o for o, p in zip(Sizes.choices()[n], ps, strict=True) if p] for n, ps in result.probabilities.items()}
    allowed = [a for a in space.enumerate() if a.hidden in left["hidden"] and a.inner in left["inner"]]
    allowed = [a for a in allowed if cost(a) <= limit]
    assert {a.hidden for a in allowed} == set(left["hidden"]) and {a.inner for a in allowed} == set(left["inner"])


def test_recnas_anneals():
    temperatures = [record["temperature"] for record in quiet(RecNAS(), problem(), settings()).history]
    assert temperatures[0] == 1.0 and temperatures == sorted(temperatures, reverse=True) and temperatures[-1] < 0.1
    for options in ({"threshold": 1.0}, {"threshold": -0.1}, {"rounds": 0}):
        with pytest.raises(ConfigError, match="rounds >= 1 and 0 <= threshold < 1") as raised:
            RecNAS(**options)
        assert all(f"{name}={value}" in str(raised.value) for name, value in options.items())


def test_the_dynamic_constraint_is_gumbel_with_the_dynamic_penalty():
    contract = TestDynamicConstraint()
    options = contract.settings.model_copy(update=contract.short)
    through = quiet(DynamicConstraint(weight=0.2), contract.problem("80%"), options)
    relaxation, penalty = Gumbel(Temperature.over(options.steps)), Dynamic(0.2, "depth")
    by_hand = BilevelSearcher(contract.problem("80%"), options, relaxation=relaxation, penalty=penalty)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = by_hand.run()
    assert figures(through) == figures(found) | {"strategy": "dynamic-constraint"}


def test_a_missing_depth_is_told_before_the_search():
    with pytest.raises(ConfigError, match=r"DynamicConstraint\(depth='depth'\): Sizes has no such field.*depth=None"):
        DynamicConstraint().search(problem(loss=None), settings())


@pytest.mark.filterwarnings("ignore")
def test_a_collapse_is_a_python_warning_too():
    with pytest.warns(UserWarning, match="hidden collapsed to one option by step"):
        ProxylessNAS().search(problem(), settings(architecture_lr=30.0))


def test_collapse_is_counted_from_the_end_of_the_warm_up():
    history = [{"step": step, "entropy": {"hidden": 1.0 if step < 60 else 0.01}} for step in range(50, 100)]
    for warmup, expected in ((0, 0), (10, 0), (50, 1)):
        lines = undecided_or_collapsed(history, {"hidden": 0.01}, SearchSettings(steps=100, warmup_steps=warmup))
        assert len(lines) == expected
    assert lines[0].startswith("hidden collapsed to one option by step 60")


def test_choices_that_are_still_undecided_share_a_line():
    (line,) = undecided_or_collapsed([], {"hidden": 0.96, "depth": 0.5, "heads": 1.0}, SearchSettings(steps=100))
    assert (
        line == "still undecided, by entropy of at most 1: hidden (0.96), heads (1.00); raise architecture_lr or steps"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, 1), ({"random_architectures": 7}, 7), ({"evaluate_every": 10}, 11), ({"evaluate_every": 60}, 2)],
)
def test_as_many_evaluations_as_a_search_by_gradients(changes, expected):
    options = SearchSettings(steps=100, **changes)
    assert evaluations(options) == expected
    result = quiet(RandomSearch(), problem(evaluate=lambda model: {"loss": 1.0}), options)
    assert len(result.tried) == min(expected, Sizes.size())


@pytest.mark.parametrize("name", NAMES)
def test_an_elastified_network_is_searched_or_refused_before_any_work(name):
    def build(hidden, inner):
        return nn.Sequential(nn.Linear(4, hidden), nn.Linear(hidden, inner), nn.ReLU(), nn.Linear(inner, 4))

    model = elastify(build, Sizes)
    given = problem(model=model, costs={"cost": Flops(model, torch.zeros(1, 4))}, budget="50%")
    if name in MIXING:
        told = r"^ElasticModel is made by elastify and .*: use Reinforce, SPOS, RandomSearch or Evolve"
        with pytest.raises(SearchError, match=told):
            quiet(named(name), replace(given, loss=untouched, train=untouched), settings())
        return
    result = quiet(named(name), given, settings())
    assert result.found.costs["cost"] <= result.limits["cost"] and len(result.random_tried) == 4
    assert len(result.tried) == (0 if name == "reinforce" else 4)


def untouched(*arguments):
    raise AssertionError("work was done")


def test_evaluations_of_a_killed_search_are_not_made_again(tmp_path):
    made = []

    def evaluate(model):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(axes_of(model).current())
        return {"loss": float(made[-1].hidden)}

    with pytest.raises(KeyboardInterrupt):
        quiet(SPOS(), problem(evaluate=evaluate), settings(), tmp_path / "c")
    made.append(None)
    quiet(SPOS(), problem(evaluate=evaluate), settings(), tmp_path / "c", resume=True)
    once = len(made) - 1
    assert len(set(made) - {None}) == once >= 4
    quiet(SPOS(), problem(evaluate=evaluate), settings(), tmp_path / "c", resume=True)
    assert len(made) == once + 1
    quiet(SPOS(), problem(evaluate=evaluate), settings(), tmp_path / "d")
    assert len(made) == 2 * once + 1, "a search anew takes nothing up"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (0.5, r"evaluate returns float 0\.5; a mapping from names to numbers is needed"),
        (None, "evaluate returns NoneType None; a mapping"),
        ({"loss": "low"}, "evaluate returns loss='low'; a metric is a number"),
        ({"other": 1.0}, r"metric 'loss' is not among what evaluate returns: \['other'\]"),
    ],
)
@pytest.mark.parametrize("strategy", [SPOS, RandomSearch, DARTS])
def test_an_answer_of_evaluate_that_is_none_is_one_clear_line_and_not_kept(tmp_path, strategy, answer, message):
    with pytest.raises(ConfigError, match=message) as raised:
        quiet(strategy(), problem(evaluate=lambda model: answer), settings(), tmp_path)
    assert "\n" not in str(raised.value)
    result = quiet(strategy(), problem(evaluate=lambda model: {"loss": 1.0}), settings(), tmp_path, resume=True)
    assert all(candidate.metrics == {"loss": 1.0} for candidate in (result.found, *result.tried))


class Many(Space):
    """59,049 combinations: what is most probable within a budget is found greedily."""

    inner: Annotated[tuple[Literal[4, 2, 1], ...], PerLayer(10)]


class Layers(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.layers = nn.ModuleList(enn.FeedForward(4, inner, activation="tanh") for inner in sizes.inner)

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return x


def test_pruning_of_a_large_space_under_a_tight_budget_leaves_every_choice_an_option(monkeypatch):
    reaches, asked = BilevelSearcher._has_unpruned_architecture, []

    def greedily(searcher):
        asked.append(searcher.step)
        return len(asked) < 4 and reaches(searcher)  # the search misses what is there

    monkeypatch.setattr(BilevelSearcher, "_has_unpruned_architecture", greedily)
    torch.manual_seed(0)
    model = Layers(Many.axes())
    given = problem(model=model, costs={"cost": Params(model)}, budget="45%")
    options = settings(steps=6, architecture_lr=0.5, random_architectures=1)
    result = quiet(RecNAS(weight=0.0, threshold=0.99), given, options)
    for record in result.history:
        assert all(sum(p) == pytest.approx(1.0) for p in record["probabilities"].values())
    assert any(0.0 in p for p in result.probabilities.values()) and result.found.costs["cost"] <= result.limits["cost"]


def test_a_choice_of_which_no_option_seems_possible_keeps_its_own():
    controller = Controller(Sizes, Softmax(), torch.device("cpu"), 0)
    with torch.no_grad():
        controller.logits["hidden"].copy_(torch.tensor([3.0, 2.0, 1.0, -9.0]))
    answers = iter([True])
    Pruning(1, 0.5)(controller, 1, 0, lambda: next(answers, False))
    assert [float(p) > 0 for p in controller.probabilities()["hidden"]] == [True, True, True, False]
    assert all(bool(p.isfinite().all()) for p in controller.probabilities().values())


class Machine:
    """A clock that the network's passes move, as fast as a machine is."""

    def __init__(self, pace):
        self.now, self.pace = 0.0, pace

    def __call__(self):
        return self.now

    def __deepcopy__(self, memo):
        return self


class Timed(Net):
    def __init__(self, sizes, machine):
        super().__init__(sizes)
        self.machine = machine

    def forward(self, x):
        self.machine.now += 1e-3 * self.machine.pace * self.up(x).shape[-1]
        return super().forward(x)


def timed(pace, budget="50%", **changes):
    torch.manual_seed(0)
    machine = Machine(pace)
    model = Timed(Sizes.axes(), machine)
    cost = Latency(model, torch.zeros(1, 4), warmup=0, repeats=1, clock=machine)
    return problem(model=model, costs={"cost": cost}, budget=budget, **changes)


class Killed(Exception):
    pass


def test_a_relative_budget_of_measured_milliseconds_is_that_of_the_first_process(tmp_path):
    def kill(progress):
        if progress.step == 12:
            raise Killed

    options = settings(checkpoint_every=5)
    with pytest.raises(Killed):
        quiet(ProxylessNAS(), timed(1.0), options, tmp_path / "c", progress=kill)
    result = quiet(ProxylessNAS(), timed(1.2), options, tmp_path / "c", resume=True)
    assert result.steps == 24 and result.limits["cost"] == pytest.approx(4.0)
    assert result.found.costs["cost"] <= result.limits["cost"]
    with pytest.raises(CheckpointError, match=r"budgets\.cost was '50%', is '60%'"):
        quiet(ProxylessNAS(), timed(1.0, "60%"), options, tmp_path / "c", resume=True)


@pytest.mark.filterwarnings("ignore")  # of the report on nothing predicted
@pytest.mark.parametrize("method", ["nsga2", "local", "random"])
def test_evolve_keeps_the_limit_of_a_relative_budget_of_milliseconds(tmp_path, method):
    def limit(pace, trials):
        evolve = Evolve(method, trials, 2, storage=tmp_path / "s.journal")
        return quiet(evolve, timed(pace, evaluate=lambda model: {"loss": 1.0}), settings()).limits["cost"]

    assert limit(1.0, 2) == limit(1.2, 4) == pytest.approx(4.0)


@pytest.mark.parametrize("strategy", [DARTS, RandomSearch])
def test_an_identity_of_the_caller_covers_none_of_our_own(tmp_path, strategy):
    mine = {"settings": 1, "model": 2, "weights": 3, "space": 4}
    options = {"folder": tmp_path / "c", "resume": True}
    whole = quiet(strategy(), problem(), settings(steps=4), identity=mine, **options)
    assert figures(quiet(strategy(), problem(), settings(steps=4), identity=mine, **options)) == figures(whole)
    for message, changes, identity in (
        (r"settings\.steps was 4, is 8", {"steps": 8}, mine),
        (r"model was 2, is 5", {}, mine | {"model": 5}),
        (r"weights was 3, is 6", {}, mine | {"weights": 6}),
    ):
        with pytest.raises(CheckpointError, match=message):
            quiet(strategy(), problem(), settings(**{"steps": 4, **changes}), identity=identity, **options)
