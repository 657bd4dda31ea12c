"""ScoreOptions and OptionScores: planted problems whose optimum is known by hand, and enumeration."""

import itertools
import json
import time
from typing import Annotated, Literal

import pytest
import torch
from pydantic import model_validator
from scipy.stats import spearmanr
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space, axes_of
from elasticnas.cost import Budget, Cost
from elasticnas.errors import BudgetError, ConfigError
from elasticnas.run import Run
from elasticnas.search import OptionScores, Problem, ScoreOptions, SearchResult, SearchSettings
from elasticnas.testing import StrategyContract
from tests.cost.layered_space import Ruled, Sizes, Work, net, work


class TestScoreOptions(StrategyContract):
    learns_probabilities = False

    def strategy(self):
        return ScoreOptions()


class TestScoreOptionsWithCorrections(StrategyContract):
    learns_probabilities = False

    def strategy(self):
        return ScoreOptions(best=2, held_out=1, corrections=4)


class Length(Cost):
    unit = "layers"

    def compute(self, arch):
        return float(arch.depth)


def additive(arch):
    """A metric that is a sum over the present choices, with a level of 100 at the largest."""
    gains = {7: 0.0, 5: -0.5, 3: -3.0}
    layers = sum((n + 1) * gains[inner] for n, inner in enumerate(arch.inner)) - 0.7 * arch.heads.count(1)
    return 100.0 - (arch.hidden == 2) * 4.0 - {3: 0, 2: 2.5, 1: 7.0}[arch.depth] + layers


def tangled(arch):
    """Additive, but for one pair of options that is better together than alone, and another that is worse."""
    value = additive(arch)
    if arch.depth > 1 and arch.inner[0] == 3 and arch.inner[1] == 3:
        value += 8.5
    return value - (20.0 if arch.hidden == 2 and arch.heads[0] == 1 else 0.0)


def problem(space=Sizes, metric=additive, budgets=None, direction="maximise", model=None, **costs):
    model = model or net(space)
    sign = 1.0 if direction == "maximise" else -1.0
    made = {name: kind(model) for name, kind in (costs or {"work": Work}).items()}
    return Problem(
        model,
        evaluate=lambda m: {"worth": sign * metric(axes_of(m).current())},
        metric="worth",
        direction=direction,
        costs=made,
        budgets=budgets,
    )


def search(given, run=None, seed=0, **options):
    return ScoreOptions(trained=True, **options).search(given, SearchSettings(seed=seed), run)


@pytest.mark.parametrize("direction", ["maximise", "minimise"])
@pytest.mark.parametrize("space", [Sizes, Ruled])
def test_additive_metric_is_predicted_exactly_and_its_optimum_found(space, direction):
    given = problem(space, budgets={"work": "60%"}, direction=direction)
    result = search(given, best=1, held_out=8)
    sign = 1.0 if direction == "maximise" else -1.0
    archs = list(space.enumerate())
    for arch in archs:
        assert result.scores.predict(arch) == pytest.approx(sign * additive(arch))
    limit = 0.6 * work(space.largest())
    assert additive(result.best) == pytest.approx(max(additive(arch) for arch in archs if work(arch) <= limit))
    assert result.scores.rank_correlation == pytest.approx(1.0) and len(result.scores.checked) >= 5
    # one evaluation for each option but those of the largest, which is one itself
    assert result.steps <= (1 + 1 + 2 + 3 * 2 + 3 * 1) + 1 + 8
    assert all(candidate.costs["work"] <= limit for candidate in result.tried)


def test_changes_are_those_by_hand():
    scores = search(problem(), best=1, held_out=0).scores
    expected = {"hidden": (0, -4), "depth": (0, -2.5, -7)}
    expected |= {f"inner.{n}": (0, -0.5 * (n + 1), -3 * (n + 1)) for n in range(3)}
    expected |= {f"heads.{n}": (0, -0.7) for n in range(3)}
    assert scores.level == 100 and scores.changes.keys() == expected.keys()
    for name, changes in expected.items():
        assert scores.changes[name] == pytest.approx(changes), name


@pytest.mark.parametrize("space", [Sizes, Ruled])
def test_any_budgets_against_enumeration(space):
    given = problem(space, work=Work, length=Length)
    scores = search(given, best=1, held_out=0).scores
    archs = list(space.enumerate())
    for percent, layers in itertools.product((25, 40, 70, 100), (1, 2, 3)):
        budgets = [
            Budget.parse(f"{percent}%", given.costs["work"]),
            Budget(float(layers), given.costs["length"], f"{layers}"),
        ]
        allowed = [a for a in archs if work(a) <= budgets[0].limit and a.depth <= layers]
        for some, possible in ((budgets, allowed), (budgets[:1], [a for a in archs if work(a) <= budgets[0].limit])):
            found = scores.best(some)
            assert found in possible
            assert additive(found) == pytest.approx(max(map(additive, possible)))
            several = scores.best_of(some, 4)
            assert [additive(a) for a in several] == pytest.approx(
                sorted(map(additive, possible))[: -len(several) - 1 : -1]
            )
    assert scores.best() == space.largest()


@pytest.mark.parametrize("space", [Sizes, Ruled])
def test_the_whole_front_against_enumeration(space):
    given = problem(space, work=Work, length=Length)
    scores = search(given, best=1, held_out=0).scores
    for layers in (2, 3):
        archs = [arch for arch in space.enumerate() if arch.depth <= layers]
        expected = {(work(a), round(additive(a), 6)) for a in archs if not any(_beats(b, a) for b in archs)}
        budgets = [Budget(float(layers), given.costs["length"], f"{layers}")]
        front = scores.front(given.costs["work"], None, budgets)
        assert [(work(a), round(additive(a), 6)) for a in front] == sorted(expected)
        some = scores.front(given.costs["work"], 5, budgets)
        assert 1 < len(some) <= 5 and {(work(a), round(additive(a), 6)) for a in some} <= expected


class Peak(Cost):
    """No sum over choices or layers; remembers whose cost was asked for."""

    unit = "peak"

    def __init__(self, model):
        super().__init__(model)
        self.asked = {}

    def __call__(self, arch):
        self.asked[arch] = None
        return super().__call__(arch)

    def compute(self, arch):
        return float(11 * arch.hidden + max(arch.inner) ** 2 * arch.depth + arch.heads[0] * max(arch.inner))


@pytest.mark.parametrize("points", [2, 4, None])
@pytest.mark.parametrize("layers", [2, 3])
def test_the_front_of_a_greedy_search_has_all_that_it_passed(points, layers, monkeypatch):
    monkeypatch.setattr("elasticnas.search.option_scores._ENUMERATED", 0)
    monkeypatch.setattr("elasticnas.cost.solver._FIRST", 3)
    given = problem(Sizes, peak=Peak, length=Length)
    scores, peak, length = search(given, best=1, held_out=0).scores, given.costs["peak"], given.costs["length"]
    budgets = [Budget(float(layers), length, f"{layers}")]
    with pytest.warns(UserWarning, match="sought greedily"):
        scores.best([Budget(peak(Sizes.smallest()) * 2, peak, "2")])  # fits the cost, which asks for others
        peak.asked.clear()
        front = scores.front(peak, points, budgets)
    asked = {(peak.compute(a), round(additive(a), 6)) for a in peak.asked if a.depth <= layers}
    expected = {(c, v) for c, v in asked if not any((d <= c and w >= v) and (d, w) != (c, v) for d, w in asked)}
    assert [(peak.compute(a), round(additive(a), 6)) for a in front] == sorted(expected)


def _beats(one, other):
    better = (work(one) <= work(other), additive(one) >= additive(other) - 1e-9)
    return all(better) and (work(one) < work(other) or additive(one) > additive(other) + 1e-9)


def test_planted_interactions_are_found_and_needed():
    given = problem(metric=tangled, budgets={"work": "55%"})
    archs = [arch for arch in Sizes.enumerate() if work(arch) <= 0.55 * work(Sizes.largest())]
    optimum = max(map(tangled, archs))
    alone = search(given, best=1, held_out=30)
    assert tangled(alone.scores.best([Budget.parse("55%", given.costs["work"])])) < optimum - 0.5
    assert alone.scores.rank_correlation < 0.9
    result = search(given, best=1, held_out=30, corrections=24)
    tables = {pair.choices: pair.changes for pair in result.scores.pairs}
    assert tables["inner.0", "inner.1"][2][2] == pytest.approx(8.5)
    assert tables["hidden", "heads.0"][1][1] == pytest.approx(-20.0)
    found = result.scores.best([Budget.parse("55%", given.costs["work"])])
    assert tangled(found) == pytest.approx(optimum) and tangled(result.best) == pytest.approx(optimum)
    assert result.scores.rank_correlation > 0.95
    assert any("poorly" in line for line in alone.warnings) == (alone.scores.rank_correlation < 0.5)


def test_rank_correlation_is_that_of_scipy_on_architectures_that_were_not_fitted():
    result = search(problem(metric=tangled, budgets={"work": "70%"}), best=1, held_out=25, corrections=6)
    rows = result.scores.checked
    assert result.scores.rank_correlation == pytest.approx(
        spearmanr([row.predicted for row in rows], [row.evaluated for row in rows])[0]
    )
    for row in rows:
        assert row.evaluated == tangled(row.architecture) and work(row.architecture) <= 0.7 * work(Sizes.largest())
        assert row.predicted == pytest.approx(result.scores.predict(row.architecture))
    changed = [sum(value != 0 for value in Sizes.indices(row.architecture).values()) for row in rows]
    assert min(changed) > 1  # no single change of the largest is among them


def test_a_poor_rank_correlation_is_a_warning_with_the_way_out():
    def opposite(arch):
        return additive(arch) if arch.depth == 3 and sum(arch.inner) > 17 else -additive(arch)

    with pytest.warns(UserWarning, match=r"rank held-out architectures poorly: .* give corrections=, further referenc"):
        result = search(problem(metric=opposite, budgets={"work": "60%"}))
    assert result.scores.rank_correlation < 0.5


def test_another_reference_and_several():
    small = Sizes(hidden=2, depth=1, inner=(5,), heads=(1,))
    for references in ([small], [{"hidden": 4, "depth": 2, "inner": (3, 5), "heads": (1, 2)}, Sizes.largest()]):
        scores = search(problem(), best=1, held_out=0, references=references).scores
        for arch in Sizes.enumerate():
            assert scores.predict(arch) == pytest.approx(additive(arch))
    assert scores.references[0] == Sizes(hidden=4, depth=2, inner=(3, 5), heads=(1, 2))


def test_options_that_rules_allow_only_with_others():
    class Paired(Space):
        first: Literal[4, 2]
        second: Literal[4, 2]
        third: Literal[3, 1]

        @model_validator(mode="after")
        def equal(self):
            if self.first != self.second:
                raise ValueError("first == second")
            return self

    class Small(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.a, self.b = enn.Linear(3, sizes.first), enn.Linear(sizes.first, sizes.second)
            self.c, self.d = enn.Linear(sizes.second, sizes.third), enn.Linear(sizes.third, 1)

        def forward(self, x):
            return self.d(self.c(self.b(self.a(x))))

    class Sum(Cost):
        unit = "units"

        def compute(self, arch):
            return float(arch.first + arch.second + arch.third)

    def worth(arch):
        return 10.0 - 3.0 * (arch.first == 2) - 1.0 * (arch.third == 1)

    given = problem(Paired, worth, model=Small(Paired.axes()), units=Sum)
    scores = search(given, best=1, held_out=0).scores
    assert scores.changes["first"] == pytest.approx((0, -1.5)) and scores.changes["second"] == pytest.approx((0, -1.5))
    assert scores.changes["third"] == pytest.approx((0, -1.0))
    assert scores.predict(Paired(first=2, second=2, third=1)) == pytest.approx(6.0)


def test_an_option_whose_evaluation_fails_is_not_chosen():
    def fails(arch):
        if arch.hidden == 2:
            raise RuntimeError("out of memory")
        return additive(arch)

    with pytest.warns(UserWarning, match=r"1 options have no score and are not chosen, such as hidden=2"):
        result = search(problem(metric=fails, budgets={"work": "60%"}), best=3, held_out=5)
    assert result.best.hidden == 4 and result.scores.changes["hidden"] == (0.0, None) and result.failures
    assert result.scores.predict(Sizes.smallest()) != result.scores.predict(Sizes.smallest())


def test_random_search_evaluates_as_many_as_the_search_above_the_budgets_too():
    """All options of the largest cost more than 10 % of it: few of the search's evaluations are within the budget."""
    evaluated = []
    given = problem(metric=lambda arch: evaluated.append(arch) or tangled(arch), budgets={"work": "30%"})
    result = search(given, best=2, held_out=3)
    allowed = [arch for arch in Sizes.enumerate() if work(arch) <= 0.3 * work(Sizes.largest())]
    scored = 1 + 1 + 2 + 3 * 2 + 3 * 1
    assert result.steps == scored + 2 + 3 == len(result.history) and len(result.tried) < result.steps
    assert len(result.random_tried) == result.steps and {each.architecture for each in result.random_tried} <= {
        *allowed
    }
    assert len(set(evaluated)) == len(evaluated) <= result.steps + result.steps - 3  # the held-out are known
    assert result.evaluated == len(evaluated) and f"{len(evaluated)} architectures evaluated" in str(result)
    settings = SearchSettings(seed=0, random_architectures=4)
    fewer = ScoreOptions(best=2, held_out=3, trained=True).search(given, settings)
    assert len(fewer.random_tried) == 4


def test_budgets_that_need_an_option_without_a_score_leave_the_random_architectures():
    def fails(arch):
        if arch == Sizes(hidden=2, depth=3, inner=(7, 7, 7), heads=(2, 2, 2)):
            raise RuntimeError("out of memory")
        return additive(arch)

    least = work(Sizes(hidden=4, depth=1, inner=(3,), heads=(1,)))  # of hidden=4
    with pytest.warns(UserWarning, match="no architecture without an option that has no score was found: budget"):
        result = search(problem(metric=fails, budgets={"work": least - 1}), best=3, held_out=5)
    assert result.best.hidden == 2 and work(result.best) < least


def test_budgets_that_cannot_be_met_are_named_before_any_evaluation():
    def never(arch):
        raise AssertionError("evaluated")

    with pytest.raises(BudgetError, match="smallest reachable cost, 42 work"):
        search(problem(metric=never, budgets={"work": 40.0}))
    given = problem()
    scores = search(given, best=1, held_out=0).scores
    with pytest.raises(BudgetError, match=r"^budget 40 \(40 work\) is below the smallest reachable cost, 42 work"):
        scores.best([Budget(40.0, given.costs["work"], "40")])


def test_scores_go_to_json_and_back(tmp_path):
    given = problem(metric=tangled, budgets={"work": "60%"})
    result = search(given, corrections=8)
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    again = SearchResult.from_dict(data, Sizes)
    alone = OptionScores.from_dict(json.loads(json.dumps(result.scores.to_dict(), allow_nan=False)), Sizes)
    assert again.scores == alone == result.scores and again == result
    budget = Budget.parse("45%", given.costs["work"])
    assert alone.best([budget]) == result.scores.best([budget])
    assert "held out" in str(result)
    with pytest.raises(ConfigError, match="damaged option scores"):
        OptionScores.from_dict(result.scores.to_dict() | {"level": "x"}, Sizes)


@pytest.mark.parametrize("after", [1, 9, 16, 22, 30])
def test_killed_and_resumed_gives_the_same(after, tmp_path):
    class Killed(BaseException):
        pass

    calls = []

    def counted(arch):
        calls.append(arch)
        if len(calls) == after:
            raise Killed
        return tangled(arch)

    options = {"best": 4, "held_out": 6, "corrections": 10}
    whole = search(problem(metric=tangled, budgets={"work": "60%"}), **options)
    with pytest.raises(Killed):
        search(problem(metric=counted, budgets={"work": "60%"}), Run(tmp_path / "run"), **options)
    resumed = search(problem(metric=counted, budgets={"work": "60%"}), Run(tmp_path / "run", resume=True), **options)
    assert resumed.model_copy(update={"seconds": whole.seconds}) == whole
    assert len(calls) == len(set(calls)) + 1  # only the killed evaluation is made twice


def test_progress_counts_every_evaluation():
    seen = []
    search(problem(budgets={"work": "60%"}), Run(progress=seen.append), best=5, held_out=5, corrections=6)
    assert [p.step for p in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].steps == len(seen) and seen[-1].seconds_left == 0 and {p.stage for p in seen} == {"score"}


class Large(Space):
    """More than 10^15 architectures: 4 choices in each of 8 layers."""

    hidden: Literal[8, 6, 4]
    depth: Literal[8, 7, 6, 5, 4]
    inner: Annotated[tuple[Literal[16, 12, 8, 4], ...], PerLayer("depth")]
    heads: Annotated[tuple[Literal[4, 3, 2, 1], ...], PerLayer("depth")]
    width: Annotated[tuple[Literal[4, 3, 2], ...], PerLayer("depth")]
    further: Annotated[tuple[Literal[12, 8, 4], ...], PerLayer("depth")]


class Wide(nn.Module):
    def __init__(self, hidden, inner, heads, width, further):
        super().__init__()
        self.attention = enn.Attention(hidden, heads, width)
        self.one, self.two = enn.FeedForward(hidden, inner), enn.FeedForward(hidden, further)

    def forward(self, x):
        return self.two(self.one(self.attention(x)))


def layers_of(arch):
    return zip(arch.inner, arch.heads, arch.width, arch.further, strict=True)


class Weights(Cost):
    unit = "weights"

    def compute(self, arch):
        return float(arch.hidden * (50 + sum(2 * i + 2 * f + 9 * h for i, h, _, f in layers_of(arch))))


class Delay(Cost):
    unit = "us"

    def compute(self, arch):
        return float(
            sum(3 + i / 9 + h * (2 + n / 5) + w * 1.3 + f / 7 for n, (i, h, w, f) in enumerate(layers_of(arch)))
        )


def test_a_large_space_with_three_budgets_takes_seconds():
    axes = Large.axes()
    model = enn.Stack([Wide(axes.hidden, *sizes) for sizes in layers_of(axes)], axes.depth)
    choices = Large.choices()
    generator = torch.Generator().manual_seed(0)
    changes = {
        name: tuple((-torch.rand(len(options), generator=generator, dtype=torch.float64).cumsum(0)).tolist())
        for name, options in choices.items()
    }
    scores = OptionScores[Large](
        metric="worth", direction="maximise", references=(Large.largest(),), level=0.0, changes=changes
    )
    weights, delay, length = Weights(model), Delay(model), Length(model)
    budgets = [Budget.parse("50%", weights), Budget.parse("60%", delay), Budget(7.0, length, "7")]
    started = time.perf_counter()
    best = scores.best(budgets)
    front = scores.front(weights, 8)
    assert time.perf_counter() - started < 60  # a few seconds
    assert all(budget.allows(best) for budget in budgets)
    for arch in Large.neighbours(best):  # none is better within the budgets
        assert scores.predict(arch) <= scores.predict(best) or not all(budget.allows(arch) for budget in budgets)
    costs = [weights(arch) for arch in front]
    assert costs == sorted(costs) and len(front) > 4
    assert all(scores.predict(one) < scores.predict(other) for one, other in itertools.pairwise(front))
    assert Large.size() == 3 * sum((4 * 4 * 3 * 3) ** depth for depth in (4, 5, 6, 7, 8)) > 10**15
    with pytest.raises(BudgetError, match="smallest reachable cost"):
        scores.best([Budget(weights(Large.smallest()) - 1, weights, "less")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"best": 0}, "best=0: an integer of at least 1"),
        ({"corrections": -1}, "corrections=-1: an integer of at least 0"),
        ({"references": "largest"}, "references='largest': a list of architectures"),
        ({"references": [{"hidden": 5}]}, "references: "),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ConfigError, match=message):
        search(problem(), **options)


def test_an_untrained_supernet_without_data_is_refused():
    with pytest.raises(ConfigError, match=r"trained=True takes a trained supernet\) needs Problem\(loss="):
        ScoreOptions().search(problem())


def test_budgets_of_another_space_are_refused():
    scores = search(problem(), best=1, held_out=0).scores
    with pytest.raises(ConfigError, match="is on a cost of Ruled, but the scores are of Sizes"):
        scores.best([Budget(1e6, Work(net(Ruled)), "1e6")])
    with pytest.raises(ConfigError, match="a list is needed"):
        scores.best("50%")
