"""Evolve: fronts, budgets, resume, workers, errors."""

import itertools
import json
import subprocess
import sys
import time
from dataclasses import replace
from typing import Annotated, Literal

import pytest
import torch
from pydantic import model_validator
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space, axes_of, elastify
from elasticnas.cost import Cost, Latency, Params
from elasticnas.errors import BudgetError, CheckpointError, ConfigError, PluginError, SearchError
from elasticnas.run import Run
from elasticnas.search import Candidate, Evolve, Problem, SearchSettings, pareto
from tests.conftest import ROOT

METHODS = ["nsga2", "local", "random"]


class Sizes(Space):
    """2,940 architectures, a rule, and layers that follow the depth."""

    first: Literal[tuple(range(4, 84, 4))]
    second: Literal[tuple(range(4, 84, 4))]
    depth: Literal[1, 2, 3]
    widths: Annotated[tuple[Literal[8, 4], ...], PerLayer("depth")]

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


def problem(model=None, evaluate=evaluate, metric="worth", direction="maximise", costs=None, budgets=None):
    model = model or supernet()
    given = {"evaluate": evaluate, "metric": metric, "direction": direction}
    return Problem(model, costs=costs or {"cost": Units(model)}, budgets=budgets, **given)


def search(method="nsga2", given=None, trials=60, population=12, seed=0, run=None, **storage):
    strategy = Evolve(method, trials, population, **storage)
    return strategy.search(given or problem(), SearchSettings(seed=seed), run)


@pytest.mark.parametrize("method", METHODS)
def test_result_is_complete_and_within_the_budget(method):
    seen = []
    result = search(method, problem(budgets={"cost": "40%"}), run=Run(progress=seen.append))
    flops = Units(supernet())
    limit = 0.4 * flops(Sizes.largest())
    assert result.limits == {"cost": pytest.approx(limit)} and result.units == {"cost": "multiplications"}
    assert len(result.tried) == len(result.random_tried) == result.steps == 60
    assert len({c.architecture for c in result.tried}) == 60
    for candidate in (*result.tried, *result.random_tried):
        assert candidate.costs == {"cost": flops(candidate.architecture)} and candidate.costs["cost"] <= limit
        assert candidate.metrics == {"worth": worth(candidate.architecture), "other": 1.0}
    assert result.found.metrics["worth"] == max(c.metrics["worth"] for c in result.tried) == result.history[-1]["best"]
    assert result.random.metrics["worth"] == max(c.metrics["worth"] for c in result.random_tried)
    assert [p.step for p in seen] == list(range(1, 61)) and seen[-1].seconds_left == 0
    assert json.loads(json.dumps(result.to_dict()))["found"]["costs"] == result.found.costs
    for front, every in ((result.pareto, result.tried), (result.random_pareto, result.random_tried)):
        costs, values = [c.costs["cost"] for c in front], [c.metrics["worth"] for c in front]
        assert costs == sorted(costs) and values == sorted(values)
        for candidate in every:  # nobody beats the front
            cost, value = candidate.costs["cost"], candidate.metrics["worth"]
            assert any(c.costs["cost"] <= cost and c.metrics["worth"] >= value for c in front)


@pytest.mark.parametrize("method", ["nsga2", "local"])
def test_searches_beat_random_search(method):
    """On a landscape with structure, at equal evaluations, over three seeds: the area under the front."""
    results = [search(method, problem(budgets={"cost": "50%"}), trials=120, seed=seed) for seed in range(3)]
    limit = results[0].limits["cost"]
    assert sum(area(r.pareto, limit) for r in results) > sum(area(r.random_pareto, limit) for r in results)


def area(front, limit):
    """Of the metric that a front reaches at every cost up to a limit."""
    ends = [*(candidate.costs["cost"] for candidate in front[1:]), limit]
    return sum(c.metrics["worth"] * (end - c.costs["cost"]) for c, end in zip(front, ends, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_search(method):
    first, second, other = (search(method, trials=30, seed=seed) for seed in (3, 3, 4))
    assert first.tried == second.tried and first.random_tried == second.random_tried
    assert first.tried != other.tried


@pytest.mark.parametrize("place", ["storage", "run"])
@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_search_goes_on(method, place, tmp_path):
    calls = []

    def counted(model):
        calls.append(axes_of(model).current())
        if len(calls) == 17:
            raise KeyboardInterrupt
        return evaluate(model)

    given, settings = problem(evaluate=counted), {"method": method, "trials": 40, "population": 10}
    stored = {"storage": tmp_path / "log" / "search.journal"} if place == "storage" else {}

    def kept(**more):
        return {**stored, **settings} if stored else {**settings, "run": Run(tmp_path / "run", **more)}

    with pytest.raises(KeyboardInterrupt):
        search(given=given, **kept())
    result = search(given=given, **kept(resume=True))
    assert len(result.tried) == 40 and [c.architecture for c in result.tried][:16] == calls[:16]
    assert len(calls) - len(set(calls)) == (0 if method == "nsga2" and calls.count(calls[16]) == 1 else 1)
    again = search(given=given, **kept(resume=True))
    assert again.tried == result.tried and again.random_tried == result.random_tried
    if method != "nsga2" or place == "run":
        assert result.tried == search(**settings).tried


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
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.search.test_evolve import *; "
        "r = search(sys.argv[4], problem(evaluate=noted(sys.argv[3])), 40, 10, storage=sys.argv[2]); "
        "print(len(r.tried), len(r.random_tried))"
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
    again = search(method, problem(evaluate=noted(log)), 40, 10, storage=storage)
    assert 40 <= len(again.tried) <= 41 and len(log.read_text().splitlines()) == len(evaluated)


@pytest.mark.parametrize("method", METHODS)
def test_a_stale_lock_of_a_journal_by_a_relative_path_holds_nobody_up(method, tmp_path):
    """A killed process of an earlier version left a symlink that points nowhere."""
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "search.journal.lock").symlink_to("runs/search.journal")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.search.test_evolve import *; "
        "print(len(search(sys.argv[2], few(), storage='runs/search.journal').tried))"
    )
    command = [sys.executable, "-c", code, str(ROOT), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout == "3\n", done.stderr


@pytest.mark.parametrize("method", ["nsga2", "random"])
def test_what_a_process_that_died_had_begun_is_evaluated(method, tmp_path):
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from tests.search.test_evolve import *; "
        "search(sys.argv[3], few(lambda m: os._exit(3)), storage=sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(tmp_path / "search.journal"), method]
    assert subprocess.run(command, timeout=120, check=False).returncode == 3
    result = search(method, few(), storage=command[-2])
    assert len(result.tried) == len(result.random_tried) == 3


class Few(Space):
    """Three architectures."""

    width: Literal[16, 8, 4]


def few(evaluate=lambda m: {"w": 1.0}):
    torch.manual_seed(0)
    model = elastify(lambda width: nn.Linear(3, width), Few)
    return problem(model, evaluate, "w", costs={"params": Params(model)})


@pytest.mark.parametrize("method", METHODS)
def test_a_search_ends_where_the_space_does(method, monkeypatch):
    import optuna

    asked, ask = [], optuna.Study.ask
    monkeypatch.setattr(optuna.Study, "ask", lambda study: asked.append(1) or ask(study))
    result = search(method, few(), trials=100)
    assert len(result.tried) == len(result.random_tried) == 3 and len(asked) < 50
    assert result.warnings == ("only 3 of 100 evaluations: nothing new is left within the budgets",)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layers", [4, 24], ids=["listed", "sampled"])
def test_only_what_is_drawn_is_costed(method, layers):
    """4,096 architectures and 8 ** 24: a cost builds a network, which takes a while."""

    class Wide(Space):
        inner: Annotated[tuple[Literal[1, 2, 3, 4, 5, 6, 7, 8], ...], PerLayer(layers)]

    class Sum(Cost):
        unit = "units"
        computed = 0

        def compute(self, arch):
            type(self).computed += 1
            return float(sum(arch.inner))

    model = nn.Sequential(*(enn.FeedForward(2, inner) for inner in Wide.axes().inner))
    widest = problem(
        model,
        lambda m: {"worth": float(max(axes_of(m).current().inner))},
        costs={"sum": Sum(model)},
        budgets={"sum": "40%"},
    )
    result = search(method, widest, trials=5, population=4)
    assert len(result.tried) == len(result.random_tried) == 5
    assert Sum.computed < (120 if layers == 4 else 600)


def test_several_costs_and_budgets():
    model = supernet()
    flops, params = Units(model), Params(model)
    costs, whole = {"flops": flops, "params": params}, params(Sizes.largest())
    result = search("local", problem(model, costs=costs, budgets={"params": "50%"}), trials=40, population=10)
    assert result.limits == {"params": pytest.approx(0.5 * whole)}
    for candidate in (*result.tried, *result.random_tried):
        arch = candidate.architecture
        assert candidate.costs == {"flops": flops(arch), "params": params(arch)}
        assert candidate.costs["params"] <= 0.5 * whole
    nsga2 = search("nsga2", problem(model, costs=costs, budgets={"params": "90%"}), trials=15, population=5)
    assert all(params(c.architecture) <= 0.9 * whole for c in nsga2.tried)


def test_latency_is_a_cost_like_any_other():
    model, ticks = supernet(), [0.0]

    def clock():
        ticks[0] += 0.001
        return ticks[0]

    latency = Latency(model, torch.zeros(1, 3), repeats=1, warmup=0, max_measured=4, clock=clock)
    result = search(given=problem(model, costs={"ms": latency}), trials=12, population=6)
    assert result.units == {"ms": "ms"} and all(0.5 < c.costs["ms"] < 2 for c in result.tried)
    assert len(latency.report().rows) >= 4


def test_minimising():
    result = search("random", problem(direction="minimise"), trials=20)
    assert result.found.metrics["worth"] == min(c.metrics["worth"] for c in result.tried)
    assert len(result.pareto) == 1 or result.pareto[0].costs["cost"] < result.pareto[-1].costs["cost"]


def test_elastified_models_are_searched_too():
    class Width(Space):
        hidden: Literal[16, 8, 4]

    model = elastify(lambda hidden: nn.Sequential(nn.Linear(3, hidden), nn.Linear(hidden, 2)), Width)
    given = problem(model, lambda m: {"worth": m(torch.ones(1, 3)).abs().sum().item()}, costs={"n": Params(model)})
    result = search(given=given, trials=10)
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

    search("random", problem(model, draws), trials=4)
    assert model.training and not model.a.training and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_metric_or_a_cost_that_is_not_finite_is_one_error(value):
    class Endless(Units):
        def compute(self, arch):
            return value if arch.depth == 2 else super().compute(arch)

    told = rf"^all 3 evaluations failed, .*: evaluate gives worth={value} for Sizes\(first=.*\): give it data on"
    with pytest.warns(UserWarning, match="failed, tried 2 times"), pytest.raises(SearchError, match=told):
        search(given=problem(evaluate=lambda m: {"worth": value}), trials=3)
    for method, budgets in itertools.product(METHODS, [None, {"cost": "90%"}]):
        with pytest.raises(
            SearchError, match=rf"^Endless gives {value} multiplications for Sizes\(.*depth=2.*a cost is"
        ):
            search(method, problem(costs={"cost": Endless(supernet())}, budgets=budgets), trials=20)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (0.5, r"evaluate returns float 0\.5; a mapping from names to numbers is needed, such as {'worth': 0\.5}$"),
        (None, "evaluate returns NoneType None; a mapping from names"),
        ({"worth": "high"}, "evaluate returns worth='high'; a metric is a number"),
    ],
)
def test_evaluate_is_told_what_to_return(given, message):
    with pytest.raises(ConfigError, match=message):
        search(given=problem(evaluate=lambda m: given), trials=3)


@pytest.mark.parametrize("method", METHODS)
def test_budgets_that_cannot_be_met_together(method):
    class Narrow(Cost):
        """Falls as the network grows."""

        unit = "units"

        def compute(self, arch):
            return 100.0 - arch.first

    model = supernet()
    costs, budgets = {"wide": Units(model), "narrow": Narrow(model)}, {"wide": "5%", "narrow": 21}
    told = r"multiplications \(5%\) and 21 units \(21\): each can be met, but not all together; the closest"
    with pytest.raises(BudgetError, match=told):
        search(method, problem(model, costs=costs, budgets=budgets), trials=5, population=4)


def test_results_of_other_weights_costs_or_data_are_not_taken(tmp_path):
    class Priced(Units):
        def __init__(self, model, example, price):
            super().__init__(model, example)
            self.price = price

    model, x = supernet(), torch.zeros(1, 3)

    def run(example=x, price=1.0, data="a"):
        given = problem(model, costs={"cost": Priced(model, example, price)})
        # names of our own among the caller's cover none of ours
        mine = Run(identity={"data": data, "weights": 1, "method": 2})
        return search(given=given, trials=3, population=2, storage=tmp_path / "s.journal", run=mine)

    assert run().tried == run().tried
    for change, message in (
        ({"example": torch.zeros(2, 3)}, r"costs\.cost\.example was .*float32 \(1, 3\).*, is .*float32 \(2, 3\)"),
        ({"price": 2.0}, r"costs\.cost\.price was 1\.0, is 2\.0"),
        ({"data": "b"}, "caller.data was 'a', is 'b'"),
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
    with pytest.warns(UserWarning, match="none is within it"):
        result = search(given=problem(model, costs={"ms": latency}, budgets={"ms": 2.0}), trials=12, population=6)
    rows = result.latency["ms"]
    fronts = (result.found, *result.pareto, *result.random_pareto)
    front = {candidate.architecture for candidate in fronts}
    assert rows and {row.architecture for row in rows} <= front
    assert len(reads) == 2 * (4 + len(rows))
    for row in rows:
        assert row.predicted == pytest.approx(1.0) and row.measured == pytest.approx(4.0)
    assert "over the budget when measured, such as Sizes(" in result.warnings[-1]
    assert result.warnings[-1].endswith("predicted at 1 and measured at 4; none is within it")
    assert json.loads(json.dumps(result.to_dict()))["latency"]["ms"][0]["measured"] == pytest.approx(4.0)


def test_wrong_use_is_one_line(tmp_path, monkeypatch):
    for given, error, message in (
        ({"metric": "accuracy"}, ConfigError, "metric 'accuracy' is not among what evaluate returns: "),
        ({"budgets": {"cost": "0.1%"}}, BudgetError, "is below the smallest reachable cost"),
        (
            {"evaluate": None, "metric": None, "direction": None},
            ConfigError,
            r"evolve needs Problem\(evaluate=\.\.\.\): ",
        ),
    ):
        with pytest.raises(error, match=message):
            search(given=problem(**given), trials=3)
    for settings, message in (
        ({"method": "genetic"}, "method='genetic': choose 'nsga2', 'local' or 'random'"),
        ({"trials": 0, "population": 20}, "trials=0: an integer of at least 1 is needed"),
    ):
        with pytest.raises(ConfigError, match=message):
            search(**settings)
    with pytest.raises(ConfigError, match=r"evolve needs Problem\(costs=\.\.\.\): costs by name, such as"):
        search(given=replace(problem(), costs=None))
    told = r"^storage mysql://me:\*\*\*@nowhere/x: the driver of this database is not installed: pip install 'elastic"
    with pytest.raises(PluginError, match=told):
        search(trials=3, storage="mysql://me:secret@nowhere/x")
    search(trials=4, population=2, storage=tmp_path / "s.journal")
    with pytest.raises(CheckpointError, match="study 'elasticnas' belongs to another search, seed was 0, is 1"):
        search(trials=4, population=2, storage=tmp_path / "s.journal", seed=1)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(PluginError, match=r"need Optuna: pip install 'elasticnas\[evolve\]'"):
        search(trials=3)
    assert len(search("local", trials=3).tried) == 3


def test_dominance_over_several_costs():
    class Number(Space):
        n: Literal[1, 2, 3, 4]

    def candidate(n, cost, other, value):
        return Candidate(architecture=Number(n=n), costs={"a": cost, "b": other}, metrics={"m": value})

    best, cheap = candidate(1, 2, 2, 5), candidate(2, 1, 1, 1)
    beaten, apart = candidate(3, 2, 3, 5), candidate(4, 3, 1, 4)
    assert pareto([beaten, apart, best, cheap], "m", "maximise") == (cheap, best, apart)
    assert pareto([beaten, apart, best, cheap], "m", "minimise") == (cheap,)
