"""Evaluations that fail: tried again, recorded, and no end of the search."""

import re
import warnings
from typing import Literal

import optuna
import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space, axes_of
from elasticnas.cost import Params
from elasticnas.errors import SearchError
from elasticnas.run import Run
from elasticnas.search import DARTS, SPOS, Evolve, Problem, RandomSearch, Reinforce, SearchSettings

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Sizes(Space):
    hidden: Literal[32, 24, 16, 8]
    depth: Literal[3, 2, 1]
    bias: Literal[True, False]


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.blocks = enn.Stack([enn.FeedForward(4, sizes.hidden, activation="tanh") for _ in range(3)], sizes.depth)
        self.out = enn.Mixture({True: nn.Linear(4, 4), False: nn.Linear(4, 4, bias=False)}, sizes.bias)

    def forward(self, x):
        return self.out(self.blocks(x))


def worth(arch):
    return float(arch.hidden + 10 * arch.depth + arch.bias)


class Evaluation:
    """Runs out of memory where the width is 24, and notes what it was asked for."""

    def __init__(self, fails=lambda arch: arch.hidden == 24, answer=None):
        self.asked, self.fails, self.answer = [], fails, answer

    def __call__(self, model):
        arch = axes_of(model).current()
        self.asked.append(arch)
        if self.fails(arch):
            if self.answer is not None:
                return {"worth": self.answer}
            raise RuntimeError("out of memory\n  (simulated)")
        return {"worth": worth(arch)}


def problem(evaluate):
    torch.manual_seed(0)
    model = Net(Sizes.axes())
    data = [torch.randn(8, 4, generator=torch.Generator().manual_seed(n)) for n in range(3)]

    def loss(model, x):
        return (model(x) - x.sin()).square().mean()

    given = {"evaluate": evaluate, "metric": "worth", "direction": "maximise", "costs": {"params": Params(model)}}
    # of everything: without a budget, random search is held to what was found
    return Problem(model, loss, data, data, budgets={"params": "100%"}, **given)


def quiet(strategy, evaluate, folder=None, settings=None, **options):
    short = {"steps": 12, "update_every": 2, "evaluate_every": 2, "random_architectures": 14, "checkpoint_every": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return strategy.search(problem(evaluate), SearchSettings(**short | (settings or {})), Run(folder, **options))


SEARCHES = {
    "nsga2": lambda **more: Evolve("nsga2", 20, 6, **more),
    "local": lambda **more: Evolve("local", 20, 6, **more),
    "random": lambda **more: Evolve("random", 20, 6, **more),
    "spos": SPOS,
    "random search": RandomSearch,
    "darts": DARTS,
    "reinforce": lambda: Reinforce(weight=0.0),
}
EVOLVING = ["nsga2", "local", "random"]
GRADIENT = ["darts", "reinforce"]


def assert_recorded(result, asked):
    assert result.failures and {failure.architecture.hidden for failure in result.failures} == {24}
    for failure in result.failures:
        assert failure.message == "RuntimeError: out of memory (simulated)"
    every = [result.found, result.random, *result.tried, *result.random_tried, *result.pareto]
    assert 24 not in {candidate.architecture.hidden for candidate in every}
    assert all(candidate.metrics == {"worth": worth(candidate.architecture)} for candidate in every)
    good = [arch for arch in asked if arch.hidden != 24]
    assert set(good) >= {candidate.architecture for candidate in every}


@pytest.mark.parametrize("name", [*EVOLVING, "spos", "random search"])
def test_a_search_by_evaluations_goes_on(name):
    evaluate = Evaluation()
    result = quiet(SEARCHES[name](), evaluate)
    assert_recorded(result, evaluate.asked)
    assert {failure.attempts for failure in result.failures} == {2}
    assert all(evaluate.asked.count(failure.architecture) == 2 for failure in result.failures)
    assert all(evaluate.asked.count(candidate.architecture) == 1 for candidate in result.tried)
    trials = 20 if name in EVOLVING else 14
    failed = trials - len(result.tried)  # each spends a trial
    assert 1 <= failed <= len(result.failures)
    assert f"{failed} of {trials} evaluations failed: see .failures" in result.warnings
    assert "failed  " in str(result) and "out of memory (simulated)" in str(result)
    assert type(result).from_dict(result.to_dict(), Sizes).failures == result.failures


@pytest.mark.parametrize("name", GRADIENT)
def test_a_search_by_gradients_goes_on(name):
    evaluate = Evaluation()
    result = quiet(SEARCHES[name](), evaluate)
    assert_recorded(result, evaluate.asked)
    assert result.steps == 12 and len(result.random_tried) <= 14


@pytest.mark.parametrize("name", GRADIENT)
def test_where_what_was_found_cannot_be_evaluated_the_best_other_is_taken(name):
    first = []

    def fails(arch):
        first.append(arch)
        return arch in first[:1]

    evaluate = Evaluation(fails)
    result = quiet(SEARCHES[name](), evaluate, settings={"evaluate_every": None})
    (failure,) = result.failures
    assert failure.architecture == evaluate.asked[0] == evaluate.asked[1] and result.best != failure.architecture
    assert worth(result.best) == max(worth(candidate.architecture) for candidate in result.random_tried)
    line = f"{failure.architecture!r}, the most probable, could not be evaluated: the best of the others is taken"
    assert line in result.warnings


def test_what_failed_with_other_weights_is_evaluated_again():
    """An early metric that is undefined says nothing about the end."""
    evaluate = Evaluation(lambda arch: len(evaluate.asked) <= 4, float("nan"))
    result = quiet(DARTS(), evaluate, settings={"warmup_steps": 12})  # the most probable stays the same
    assert evaluate.asked[:9] == [result.best] * 9 and evaluate.asked[9:].count(result.best) == 0
    assert result.failures == () and not any("could not be" in line for line in result.warnings)


def test_each_failure_is_a_warning_with_its_message():
    told = (
        r"^the evaluation of Sizes\(hidden=24, .*\) failed, tried 2 times: RuntimeError: out of memory \(simulated\)$"
    )
    with pytest.warns(UserWarning, match=told) as seen:
        result = Evolve("random", 20).search(problem(Evaluation()), SearchSettings(), Run())
    lines = [str(warning.message) for warning in seen if "the evaluation of" in str(warning.message)]
    assert len(lines) == len(set(lines)) == len(result.failures)
    assert all(warning.filename == __file__ for warning in seen)


@pytest.mark.parametrize("answer", [float("nan"), float("inf")])
def test_a_metric_that_is_not_finite_is_a_failure(answer):
    result = quiet(SEARCHES["random"](), Evaluation(answer=answer))
    assert {failure.architecture.hidden for failure in result.failures} == {24}
    told = f"SearchError: evaluate gives worth={answer} for Sizes(hidden=24, "
    assert all(failure.message.startswith(told) for failure in result.failures)


def test_one_that_succeeds_when_it_is_tried_again_is_no_failure():
    evaluate = Evaluation(lambda arch: evaluate.asked.count(arch) == 1)
    result = quiet(SEARCHES["random"](), evaluate)
    assert result.failures == () and len(result.tried) == 20 and len(evaluate.asked) == 40
    none = quiet(SEARCHES["random"](), Evaluation(), settings={"retries": 0})
    assert {failure.attempts for failure in none.failures} == {1}


@pytest.mark.parametrize("name", SEARCHES)
def test_where_all_fail_there_is_one_error(name, tmp_path):
    evaluate = Evaluation(lambda arch: True)
    told = (
        r"^all \d+ evaluations failed, such as that of Sizes\(.*\) with RuntimeError: out of memory \(simulated\); fix"
    )
    with pytest.raises(SearchError, match=told) as raised:
        quiet(SEARCHES[name](), evaluate, tmp_path)
    assert "\n" not in str(raised.value)
    told = re.search(r"with retries=(\d+) to resume this search$", str(raised.value))
    retries = {} if name in GRADIENT else {"retries": int(told[1])}  # others evaluate anew when they go on
    result = quiet(SEARCHES[name](), Evaluation(lambda arch: False), tmp_path, retries, resume=True)
    assert result.found.metrics == {"worth": worth(result.best)}
    assert name in GRADIENT or result.failures == ()


@pytest.mark.parametrize("name", EVOLVING)
def test_where_all_in_a_storage_failed_more_retries_go_on(name, tmp_path):
    stored = {"storage": tmp_path / "search.journal"}
    for _ in range(2):
        with pytest.raises(SearchError, match=r"^all \d+ evaluations failed, .* with retries=2 to resume"):
            quiet(SEARCHES[name](**stored), evaluate := Evaluation(lambda arch: True))
    assert evaluate.asked == [], "no attempt was left"
    result = quiet(SEARCHES[name](**stored), Evaluation(lambda arch: False), settings={"retries": 2})
    assert result.failures == () and len(result.tried) == 20


@pytest.mark.parametrize("place", ["run", "storage"])
@pytest.mark.parametrize("name", EVOLVING)
def test_attempts_are_counted_over_restarts(name, place, tmp_path):
    """Interrupted in the second attempt at the first that fails: the next run has one attempt left for it."""
    stored = {"storage": tmp_path / "search.journal"} if place == "storage" else {}
    folder = tmp_path / "run" if place == "run" else None

    class Interrupted(Evaluation):
        def __call__(self, model):
            if any(self.asked.count(arch) == 1 and arch.hidden == 24 for arch in self.asked[-1:]):
                raise KeyboardInterrupt
            return super().__call__(model)

    first, second, third = Interrupted(), Evaluation(), Evaluation()
    with pytest.raises(KeyboardInterrupt):
        quiet(SEARCHES[name](**stored), first, folder)
    failed = first.asked[-1]
    result = quiet(SEARCHES[name](**stored), second, folder, resume=True)
    assert_recorded(result, [*first.asked, *second.asked])
    kept = place == "run" or name == "local"  # a trial of Optuna is told once, when no attempt is left
    assert second.asked.count(failed) == (1 if kept else 2)
    assert {failure.attempts for failure in result.failures} == {2}
    again = quiet(SEARCHES[name](**stored), third, folder, resume=True)
    assert third.asked == [] and again.tried == result.tried and again.failures == result.failures


@pytest.mark.parametrize("name", SEARCHES)
def test_an_interrupt_passes_through_and_the_search_goes_on(name, tmp_path):
    evaluate = Evaluation()
    whole = quiet(SEARCHES[name](), evaluate)

    class Pressed(Evaluation):
        def __call__(self, model):
            if len(self.asked) == 5:
                raise KeyboardInterrupt
            return super().__call__(model)

    with pytest.raises(KeyboardInterrupt):
        quiet(SEARCHES[name](), Pressed(), tmp_path)
    result = quiet(SEARCHES[name](), Evaluation(), tmp_path, resume=True)
    assert {**result.to_dict(), "seconds": 0} == {**whole.to_dict(), "seconds": 0}


@pytest.mark.parametrize("name", ["nsga2", "random"])
def test_optuna_alone_reads_options_objectives_and_failures(name, tmp_path):
    result = quiet(SEARCHES[name](storage=tmp_path / "search.journal"), Evaluation())
    journal = optuna.storages.journal.JournalFileBackend(str(tmp_path / "search.journal"))
    storage = optuna.storages.JournalStorage(journal)
    study = optuna.load_study(study_name="elasticnas", storage=storage)
    assert study.metric_names == ["params", "worth"]
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    done = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    found = {tuple(trial.params.items()): trial.values for trial in done}
    for candidate in result.tried:
        options = tuple(candidate.architecture.model_dump().items())
        assert found[options] == [candidate.costs["params"], candidate.metrics["worth"]]
    distribution = done[0].distributions["hidden"]
    assert distribution.choices == (32, 24, 16, 8) and done[0].distributions["bias"].choices == (True, False)
    failed = study.get_trials(states=[optuna.trial.TrialState.FAIL])
    assert {24} == {trial.params["hidden"] for trial in failed if "elasticnas failure" in trial.user_attrs}
    best = max(study.best_trials, key=lambda trial: trial.values[1])
    assert best.values[1] == result.found.metrics["worth"]
