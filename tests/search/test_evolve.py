"""evolve: fronts, budgets, resume, workers, errors."""

import itertools
import json
import subprocess
import sys
import time
from typing import Literal

import pytest
import torch
from pydantic import model_validator
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space, axes_of, elastify
from elasticnas.cost import Cost, Latency, Params
from elasticnas.errors import BudgetError, CheckpointError, ConfigError, PluginError, SearchError
from elasticnas.search import evolve, pareto
from tests.conftest import ROOT

METHODS = ["nsga2", "local", "random"]


class Sizes(Space):
    """2,940 architectures, a rule, and layers that follow the depth."""

    first: Literal[tuple(range(4, 84, 4))]
    second: Literal[tuple(range(4, 84, 4))]
    depth: Literal[1, 2, 3]
    widths: PerLayer[Literal[8, 4], "depth"]  # noqa: F821

    @model_validator(mode="after")
    def narrowing(self):
        if self.second > self.first:
            raise ValueError("second <= first")
        return self


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.a, self.b, self.c = (
            enn.Linear(3, sizes.first),
            enn.Linear(sizes.first, sizes.second),
            enn.Linear(sizes.second, 6),
        )
        self.blocks = enn.Stack([enn.FeedForward(6, width) for width in sizes.widths], sizes.depth)

    def forward(self, x):
        return self.blocks(self.c(torch.relu(self.b(torch.relu(self.a(x))))))


class Units(Cost):
    """Multiplications, by hand: the others of the library build each network."""

    unit = "multiplications"

    def compute(self, arch):
        return float(arch.first * (3 + arch.second) + 6 * arch.second + 12 * sum(arch.widths))


def supernet():
    torch.manual_seed(0)
    return Net(Sizes.axes())


def worth(arch):
    """A made-up accuracy that grows with every size, more slowly than the cost: a budget is best spent on depth."""
    return arch.first**0.3 + 2 * arch.second**0.2 + 0.7 * arch.depth + 0.05 * sum(arch.widths)


def evaluate(model):
    return {"worth": worth(axes_of(model).current()), "other": 1.0}


def search(method, model=None, trials=60, **more):
    model = model or supernet()
    flops = Units(model)
    return evolve(model, evaluate, flops, metric="worth", method=method, trials=trials, population=12, **more)


@pytest.mark.parametrize("method", METHODS)
def test_result_is_complete_and_within_the_budget(method):
    seen = []
    result = search(method, budgets="40%", progress=seen.append)
    flops = Units(supernet())
    limit = 0.4 * flops(Sizes.largest())
    assert result.limit == pytest.approx(limit) and result.unit == "multiplications"
    assert len(result.tried) == len(result.random_tried) == result.steps == 60
    assert len({c.architecture for c in result.tried}) == 60
    for candidate in (*result.tried, *result.random_tried):
        assert candidate.cost == flops(candidate.architecture) <= limit
        assert candidate.metrics == {"worth": worth(candidate.architecture), "other": 1.0}
    assert result.found.metrics["worth"] == max(c.metrics["worth"] for c in result.tried) == result.history[-1]["best"]
    assert result.random.metrics["worth"] == max(c.metrics["worth"] for c in result.random_tried)
    assert [p.evaluated for p in seen] == list(range(1, 61)) and seen[-1].seconds_left == 0
    assert json.loads(json.dumps(result.to_dict()))["found"]["cost"] == result.found.cost
    for front, every in ((result.pareto, result.tried), (result.random_pareto, result.random_tried)):
        costs, values = [c.cost for c in front], [c.metrics["worth"] for c in front]
        assert costs == sorted(costs) and values == sorted(values)
        for candidate in every:  # nobody beats the front
            assert any(c.cost <= candidate.cost and c.metrics["worth"] >= candidate.metrics["worth"] for c in front)


@pytest.mark.parametrize("method", ["nsga2", "local"])
def test_searches_beat_random_search(method):
    """On a landscape with structure, at equal evaluations, over three seeds: the area under the front."""
    results = [search(method, trials=120, budgets="50%", seed=seed) for seed in range(3)]
    assert sum(area(r.pareto, r.limit) for r in results) > sum(area(r.random_pareto, r.limit) for r in results)


def area(front, limit):
    """Of the metric that a front reaches at every cost up to a limit."""
    ends = [*(candidate.cost for candidate in front[1:]), limit]
    return sum(c.metrics["worth"] * (end - c.cost) for c, end in zip(front, ends, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_search(method):
    first, second, other = (search(method, trials=30, seed=seed) for seed in (3, 3, 4))
    assert first.tried == second.tried and first.random_tried == second.random_tried
    assert first.tried != other.tried


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_search_goes_on(method, tmp_path):
    calls = []

    def counted(model):
        calls.append(axes_of(model).current())
        if len(calls) == 17:
            raise KeyboardInterrupt
        return evaluate(model)

    model = supernet()
    flops = Units(model)
    settings = {
        "metric": "worth",
        "method": method,
        "trials": 40,
        "population": 10,
        "storage": tmp_path / "log" / "search.journal",
    }
    with pytest.raises(KeyboardInterrupt):
        evolve(model, counted, flops, **settings)
    result = evolve(model, counted, flops, **settings)
    assert len(result.tried) == 40 and [c.architecture for c in result.tried][:16] == calls[:16]
    assert len(calls) - len(set(calls)) == (0 if method == "nsga2" and calls.count(calls[16]) == 1 else 1)
    again = evolve(model, counted, flops, **settings)
    assert again.tried == result.tried and again.random_tried == result.random_tried
    if method != "nsga2":
        assert result.tried == evolve(model, evaluate, flops, **{**settings, "storage": None}).tried


def noted(file):
    """Evaluates as long as a real one, and notes what."""

    def evaluate_and_note(model):
        with open(file, "a") as log:
            log.write(f"{axes_of(model).current()!r}\n")
        time.sleep(0.05)
        return evaluate(model)

    return evaluate_and_note


@pytest.mark.parametrize("method", ["nsga2", "random"])
def test_several_processes_share_the_evaluations(method, tmp_path):
    """Of the search, and of the random search beside it; what both begin at once is the exception."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.search.test_evolve import *; model = supernet(); "
        "r = evolve(model, noted(sys.argv[3]), Units(model), metric='worth', method=sys.argv[4], trials=40, "
        "population=10, storage=sys.argv[2]); print(len(r.tried), len(r.random_tried))"
    )
    storage, log = tmp_path / "search.journal", tmp_path / "log"
    command = [sys.executable, "-c", code, str(ROOT), str(storage), str(log), method]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        out, err = worker.communicate(timeout=120)
        assert worker.returncode == 0, err
        assert all(40 <= int(count) <= 41 for count in out.split())
    evaluated = log.read_text().splitlines()
    assert len(evaluated) <= len(set(evaluated)) + 4
    model = supernet()
    again = evolve(
        model, noted(log), Units(model), metric="worth", method=method, trials=40, population=10, storage=storage
    )
    assert 40 <= len(again.tried) <= 41 and len(log.read_text().splitlines()) == len(evaluated)


@pytest.mark.parametrize("method", ["nsga2", "random"])
def test_what_a_process_that_died_had_begun_is_evaluated(method, tmp_path):
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from tests.search.test_evolve import *; "
        "model = few(); evolve(model, lambda m: os._exit(3), Params(model), metric='w', method=sys.argv[3], "
        "storage=sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(tmp_path / "search.journal"), method]
    assert subprocess.run(command, timeout=120, check=False).returncode == 3
    model = few()
    result = evolve(model, lambda m: {"w": 1.0}, Params(model), metric="w", method=method, storage=command[-2])
    assert len(result.tried) == len(result.random_tried) == 3


class Few(Space):
    """Three architectures."""

    width: Literal[16, 8, 4]


def few():
    torch.manual_seed(0)
    return elastify(lambda width: nn.Linear(3, width), Few)


@pytest.mark.parametrize("method", METHODS)
def test_a_search_ends_where_the_space_does(method, monkeypatch):
    import optuna

    asked, ask = [], optuna.Study.ask
    monkeypatch.setattr(optuna.Study, "ask", lambda study: asked.append(1) or ask(study))
    model = few()
    result = evolve(model, lambda m: {"w": 1.0}, Params(model), metric="w", method=method, trials=100)
    assert len(result.tried) == len(result.random_tried) == 3 and len(asked) < 50
    assert result.warnings == ("only 3 of 100 evaluations: nothing new is left within the budgets",)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layers", [4, 24], ids=["listed", "sampled"])
def test_only_what_is_drawn_is_costed(method, layers):
    """4,096 architectures and 8 ** 24: a cost builds a network, which takes a while."""

    class Wide(Space):
        inner: PerLayer[Literal[1, 2, 3, 4, 5, 6, 7, 8], layers]

    class Sum(Cost):
        unit = "units"
        computed = 0

        def compute(self, arch):
            type(self).computed += 1
            return float(sum(arch.inner))

    model = nn.Sequential(*(enn.FeedForward(2, inner) for inner in Wide.axes().inner))
    result = evolve(
        model,
        lambda m: {"w": float(max(axes_of(m).current().inner))},
        Sum(model),
        metric="w",
        method=method,
        trials=5,
        population=4,
        budgets="40%",
    )
    assert len(result.tried) == len(result.random_tried) == 5
    assert Sum.computed < (120 if layers == 4 else 600)


def test_several_costs_and_budgets():
    model = supernet()
    flops, params = Units(model), Params(model)
    limit = 0.9 * params(Sizes.largest())
    result = evolve(
        model,
        evaluate,
        [flops, params],
        metric="worth",
        trials=40,
        population=10,
        budgets=[None, "50%"],
        method="local",
    )
    assert result.limit is None
    assert all(c.further_costs == (params(c.architecture),) for c in result.tried)
    assert all(params(c.architecture) <= limit for c in (*result.tried, *result.random_tried))
    nsga2 = evolve(model, evaluate, [flops, params], metric="worth", trials=15, population=5, budgets=[None, "90%"])
    assert all(params(c.architecture) <= limit for c in nsga2.tried)


def test_latency_is_a_cost_like_any_other():
    model, ticks = supernet(), [0.0]

    def clock():
        ticks[0] += 0.001
        return ticks[0]

    latency = Latency(model, torch.zeros(1, 3), repeats=1, warmup=0, max_measured=4, clock=clock)
    result = evolve(model, evaluate, latency, metric="worth", trials=12, population=6)
    assert result.unit == "ms" and all(0.5 < c.cost < 2 for c in result.tried)
    assert len(latency.report().rows) >= 4


def test_minimising():
    result = evolve(
        supernet(), evaluate, Params(supernet()), metric="worth", maximise=False, trials=20, method="random"
    )
    assert result.found.metrics["worth"] == min(c.metrics["worth"] for c in result.tried)
    assert len(result.pareto) == 1 or result.pareto[0].cost < result.pareto[-1].cost


def test_elastified_models_are_searched_too():
    class Width(Space):
        hidden: Literal[16, 8, 4]

    model = elastify(lambda hidden: nn.Sequential(nn.Linear(3, hidden), nn.Linear(hidden, 2)), Width)
    result = evolve(
        model, lambda m: {"size": m(torch.ones(1, 3)).abs().sum().item()}, Params(model), metric="size", trials=10
    )
    assert len(result.tried) == 3  # there are no more
    assert result.warnings[0] == "only 3 of 10 evaluations: nothing new is left within the budgets"


def test_evaluation_leaves_no_trace():
    model = supernet().train()
    model.a.eval()
    state = torch.get_rng_state()

    def draws(m):
        assert not m.training and not torch.is_grad_enabled()
        torch.rand(3)
        return evaluate(m)

    evolve(model, draws, Params(model), metric="worth", trials=4, method="random")
    assert model.training and not model.a.training and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_metric_or_a_cost_that_is_not_finite_is_one_error(value):
    class Endless(Units):
        def compute(self, arch):
            return value if arch.depth == 2 else super().compute(arch)

    model = supernet()
    with pytest.raises(SearchError, match=rf"^evaluate gives worth={value} for Sizes\(first=.*\): give it data on"):
        evolve(model, lambda m: {"worth": value}, Units(model), metric="worth", trials=3)
    for method, budgets in itertools.product(METHODS, [None, "90%"]):
        with pytest.raises(
            SearchError, match=rf"^Endless gives {value} multiplications for Sizes\(.*depth=2.*a cost is"
        ):
            evolve(model, evaluate, Endless(model), metric="worth", method=method, trials=20, budgets=budgets)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (0.5, r"evaluate returns float 0\.5; a mapping from names to numbers is needed, such as {'worth': 0\.5}$"),
        (None, "evaluate returns NoneType None; a mapping from names"),
        ({"worth": "high"}, "evaluate returns worth='high'; a metric is a number"),
    ],
)
def test_evaluate_is_told_what_to_return(given, message):
    model = supernet()
    with pytest.raises(ConfigError, match=message):
        evolve(model, lambda m: given, Units(model), metric="worth", trials=3)


@pytest.mark.parametrize("method", METHODS)
def test_budgets_that_cannot_be_met_together(method):
    class Narrow(Cost):
        """Falls as the network grows."""

        unit = "units"

        def compute(self, arch):
            return 100.0 - arch.first

    model = supernet()
    with pytest.raises(
        BudgetError, match=r"within .*multiplications \(5%\) and 21 units \(21\): each .* not all of them"
    ):
        evolve(
            model,
            evaluate,
            [Units(model), Narrow(model)],
            metric="worth",
            method=method,
            budgets=["5%", 21],
            trials=5,
            population=4,
        )


def test_results_of_other_weights_costs_or_data_are_not_taken(tmp_path):
    class Priced(Units):
        def __init__(self, model, example, price):
            super().__init__(model, example)
            self.price = price

    model, x = supernet(), torch.zeros(1, 3)
    settings = {"metric": "worth", "trials": 3, "population": 2, "storage": tmp_path / "s.journal"}

    def run(example=x, price=1.0, data="a"):
        return evolve(model, evaluate, Priced(model, example, price), **settings, identity={"data": data})

    assert run().tried == run().tried
    for change, message in (
        ({"example": torch.zeros(2, 3)}, r"costs was .*float32 \(1, 3\).*, is .*float32 \(2, 3\)"),
        ({"price": 2.0}, r"costs was .*'price': 1\.0"),
        ({"data": "b"}, "data was 'a', is 'b'"),
    ):
        with pytest.raises(CheckpointError, match=f"belongs to another search, {message}"):
            run(**change)
    with torch.no_grad():
        model.a.weight[0, 0] += 1e-6
    with pytest.raises(CheckpointError, match="belongs to another search, weights was '"):
        run()


def test_predicted_latency_of_the_front_is_measured():
    """The clock slows down: what was predicted from the first measurements at 1 ms takes 4."""
    model, reads = supernet(), []

    def clock():  # read twice for each measurement
        reads.append(0.001 * (1 if len(reads) < 2 * 4 else 4) * (len(reads) % 2))
        return sum(reads[-1:])

    latency = Latency(model, torch.zeros(1, 3), repeats=1, warmup=0, max_measured=4, clock=clock)
    result = evolve(model, evaluate, latency, metric="worth", trials=12, population=6, budgets=2.0)
    (report,) = result.latency
    front = {candidate.architecture for candidate in (result.found, *result.pareto)}
    assert report.rows and {arch for arch, _, _ in report.rows} <= front
    assert len(reads) == 2 * (4 + len(report.rows))
    for _, predicted, actual in report.rows:
        assert predicted == pytest.approx(1.0) and actual == pytest.approx(4.0)
    assert report.mean_relative_error == pytest.approx(0.75)
    assert "over the budget of 2 ms (2.0) when measured: Sizes(" in result.warnings[-1]
    assert result.warnings[-1].endswith("was predicted at 1 ms and takes 4")
    assert json.loads(json.dumps(result.to_dict()))["latency"][0]["rows"][0]["measured_ms"] == pytest.approx(4.0)


def test_nan_is_one_error_and_keeps_what_was_done(tmp_path):
    count = [0]

    def sometimes(model):
        count[0] += 1
        return {"worth": float("nan") if count[0] == 6 else evaluate(model)["worth"]}

    model, storage = supernet(), tmp_path / "search.journal"
    settings = {"metric": "worth", "trials": 20, "population": 10, "storage": storage}
    with pytest.raises(SearchError, match=r"^evaluate gives worth=nan for Sizes\(first=.*\): give it data on which"):
        evolve(model, sometimes, Params(model), **settings)
    assert len(evolve(model, sometimes, Params(model), **settings).tried) == 20
    assert count[0] < 20 + 20 + 2


def test_wrong_use_is_one_line(tmp_path, monkeypatch):
    model = supernet()
    params = Units(model)
    with pytest.raises(ConfigError, match="metric 'accuracy' is not among what evaluate returns: "):
        evolve(model, evaluate, params, metric="accuracy", trials=3)
    with pytest.raises(ConfigError, match="method='genetic': choose 'nsga2', 'local' or 'random'"):
        evolve(model, evaluate, params, metric="worth", method="genetic")
    with pytest.raises(ConfigError, match="trials=0, population=20: trials >= 1"):
        evolve(model, evaluate, params, metric="worth", trials=0)
    with pytest.raises(ConfigError, match="costs: give at least one"):
        evolve(model, evaluate, [], metric="worth")
    with pytest.raises(ConfigError, match="2 for 1 costs; give one each"):
        evolve(model, evaluate, params, metric="worth", budgets=["50%", "50%"])
    with pytest.raises(BudgetError, match="is below the smallest reachable cost"):
        evolve(model, evaluate, params, metric="worth", budgets="0.1%")
    with pytest.raises(CheckpointError, match=r"storage mysql.*: cannot be opened \("):
        evolve(model, evaluate, params, metric="worth", trials=3, storage="mysql://nowhere/x")
    settings = {"metric": "worth", "trials": 4, "population": 2, "storage": tmp_path / "s.journal"}
    evolve(model, evaluate, params, **settings)
    with pytest.raises(CheckpointError, match="study 'elasticnas' belongs to another search, seed was 0, is 1"):
        evolve(model, evaluate, params, **settings, seed=1)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(PluginError, match=r"need Optuna: pip install 'elasticnas\[evolve\]'"):
        evolve(model, evaluate, params, metric="worth", trials=3)
    assert len(evolve(model, evaluate, params, metric="worth", trials=3, method="local").tried) == 3


def test_dominance_over_several_costs():
    from elasticnas.search import Candidate

    def candidate(cost, other, value):
        return Candidate(f"{cost}{other}{value}", cost, {"m": value}, (other,))

    best, cheap, beaten, apart = candidate(2, 2, 5), candidate(1, 1, 1), candidate(2, 3, 5), candidate(3, 1, 4)
    assert pareto([beaten, apart, best, cheap], "m", True) == (cheap, best, apart)


def test_a_name_of_its_own_is_not_taken_from_the_caller(tmp_path):
    model, x = supernet(), torch.zeros(1, 3)
    with pytest.raises(ConfigError, match="identity: 'weights' is a name of evolve's own; give yours another"):
        evolve(model, lambda _: {"worth": 1.0}, Units(model, x), metric="worth", identity={"weights": 1})
