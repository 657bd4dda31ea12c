"""Work that goes on with other settings: those that are allowed, and they are really used."""

import random
import warnings
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space, axes_of
from elasticnas.cost import Params
from elasticnas.errors import CheckpointError
from elasticnas.run import Run
from elasticnas.search import (
    DARTS,
    DynamicConstraint,
    Evolve,
    Problem,
    SearchSettings,
    SupernetTrainer,
    TrainerSettings,
)


class Sizes(Space):
    inner: Literal[8, 4, 2]
    depth: Literal[2, 1]


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.blocks = enn.Stack([enn.FeedForward(4, sizes.inner, activation="tanh") for _ in range(2)], sizes.depth)

    def forward(self, x):
        return self.blocks(x)


DATA = [torch.randn(16, 4, generator=torch.Generator().manual_seed(n)) for n in range(5)]


def loss(model, x):
    return (model(x) - x.flip(-1)).square().mean()


def problem(**changes):
    torch.manual_seed(0)
    model = Net(Sizes.axes())
    return Problem(**{"model": model, "loss": loss, "train": DATA, "held_out": DATA, **changes})


def trained(folder, resume=False, allow=(), data=DATA, optimizer=None, **changes):
    given = problem(train=data)
    settings = TrainerSettings(**{"steps": 12, "rule": "single", "weight_lr": 0.02, "checkpoint_every": 4, **changes})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = SupernetTrainer(given, settings, optimizer=optimizer).run(Run(folder, resume=resume, allow=allow))
    return result, given.model


def by_hand(*sittings):
    """Adam on single paths, written out: so many steps, at a rate, with gradients clipped to a norm."""
    model, rng, step = problem().model, random.Random(0), 0
    optimizer = torch.optim.Adam(model.parameters())
    for steps, rate, clip_norm in sittings:
        for _ in range(steps):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            with axes_of(model).at(Sizes.sample(rng)):
                loss(model, DATA[step % 5]).backward()
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
            step += 1
    return model


@pytest.mark.parametrize(
    ("changes", "sitting", "said"),
    [
        ({"steps": 30}, (18, 0.02, None), ["settings.steps was 12, is 30"]),
        (
            {"steps": 20, "weight_lr": 0.002},
            (8, 0.002, None),
            ["settings.steps was 12, is 20", "settings.weight_lr was 0.02, is 0.002"],
        ),
        (
            {"steps": 20, "clip_norm": 0.01},
            (8, 0.02, 0.01),
            ["settings.clip_norm was None, is 0.01", "settings.steps was 12, is 20"],
        ),
    ],
)
def test_a_training_goes_on_with_what_is_allowed(changes, sitting, said, tmp_path):
    """The moments of Adam are kept: they are those of one run whose rate is changed on the way."""
    trained(tmp_path)
    result, model = trained(tmp_path, True, set(changes), **changes)
    expected = by_hand((12, 0.02, None), sitting)
    for one, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert result.steps == changes["steps"] and [line for line in result.warnings if "settings" in line] == said
    plain = by_hand((12, 0.02, None), (changes["steps"] - 12, 0.02, None))
    moved = max((a - b).abs().max().item() for a, b in zip(plain.parameters(), model.parameters(), strict=True))
    assert len(changes) == 1 or moved > 1e-3, "the change was not used"


def test_it_is_a_python_warning_too_that_points_at_the_caller(tmp_path):
    trained(tmp_path)
    trainer = SupernetTrainer(problem(), TrainerSettings(steps=13, rule="single", weight_lr=0.02))
    with pytest.warns(UserWarning, match="continues with other settings, settings.steps was 12, is 13$") as told:
        trainer.run(Run(tmp_path, resume=True, allow={"steps"}))
    assert told[0].filename == __file__


@pytest.mark.parametrize("allow", [(), {"steps"}, {"weight_lr", "seed"}])
def test_what_is_not_allowed_is_refused_in_one_line(allow, tmp_path):
    trained(tmp_path)
    message = "settings.rule was 'single', is 'random'"
    with pytest.raises(CheckpointError, match=f"belongs to another run, {message}; use another folder, or") as raised:
        trained(tmp_path, True, allow, rule="random")
    assert "\n" not in str(raised.value)


def test_a_rate_of_an_optimizer_of_ones_own_is_allowed_by_its_name(tmp_path):
    def sgd(rate):
        return lambda weights: torch.optim.SGD(weights, lr=rate, momentum=0.9)

    trained(tmp_path, optimizer=sgd(0.1))
    with pytest.raises(CheckpointError, match=r"optimizer\.lr was 0\.1, is 0\.0"):
        trained(tmp_path, True, {"steps"}, optimizer=sgd(0.0), steps=15)
    _, before = trained(tmp_path / "whole", optimizer=sgd(0.1))
    _, model = trained(tmp_path, True, {"steps", "lr"}, optimizer=sgd(0.0), steps=15)
    assert all(map(torch.equal, model.parameters(), before.parameters())), "a rate of 0 moves nothing"


def test_a_cosine_over_more_steps_is_that_of_the_new_length(tmp_path):
    trained(tmp_path, schedule="cosine", warmup_steps=2)
    result, _ = trained(tmp_path, True, {"steps"}, schedule="cosine", warmup_steps=2, steps=24)
    rates = [record["learning_rate"] for record in result.history]
    whole, _ = trained(None, schedule="cosine", warmup_steps=2, steps=24)
    assert rates[12:] == [record["learning_rate"] for record in whole.history][12:] and rates[11] < rates[12]


def test_validation_may_be_added_on_the_way(tmp_path):
    trained(tmp_path)
    changes = {"steps": 24, "validate_every": 4}
    result, _ = trained(tmp_path, True, set(changes), **changes)
    assert [record["step"] for record in result.validations] == [16, 20, 24]


def test_other_batches_are_taken_where_they_are_allowed(tmp_path):
    other = [x + 1 for x in DATA]
    trained(tmp_path)
    with pytest.raises(CheckpointError, match=r"train: batch 1 of epoch 2, both counted from 0, is not the one seen"):
        trained(tmp_path, True, {"steps"}, other, steps=14)
    assert trained(tmp_path, True, {"steps", "batches"}, other, steps=14)[0].steps == 14


def searched(strategy, folder, resume=False, allow=(), budget=None, **changes):
    model = problem().model
    given = problem(model=model, costs={"params": Params(model)}, budgets=budget and {"params": budget})
    base = {"steps": 20, "update_every": 2, "architecture_lr": 0.1, "checkpoint_every": 4, "random_architectures": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = Run(folder, resume=resume, allow=allow)
        return strategy.search(given, SearchSettings(**base | changes), run), model


def test_a_search_whose_temperature_follows_its_length_goes_on_with_the_longer_schedule(tmp_path):
    first, _ = searched(DynamicConstraint(), tmp_path)
    with pytest.raises(CheckpointError, match=r"settings\.steps was 20, is 40; "):
        searched(DynamicConstraint(), tmp_path, True, steps=40)
    longer, _ = searched(DynamicConstraint(), tmp_path, True, {"steps"}, steps=40)
    assert longer.history[:10] == first.history and len(longer.history) == 20 and longer.steps == 40
    # linear from 1 at step 0 to 0.01 at the last, 39
    wanted = [max(0.01, 1 - 0.99 * step / 39) for step in range(20, 40, 2)]
    assert [record["temperature"] for record in longer.history[10:]] == pytest.approx(wanted)
    assert longer.warnings[0] == "settings.steps was 20, is 40"
    with pytest.raises(CheckpointError, match=r"search\.weight was 0\.1, is 0\.2"):
        searched(DynamicConstraint(0.2), tmp_path, True, {"steps"}, steps=40)


def test_rates_of_a_search_are_used(tmp_path):
    first, before = searched(DARTS(), tmp_path)
    changes = {"steps": 40, "architecture_lr": 1e-12, "weight_lr": 1e-12}
    longer, after = searched(DARTS(), tmp_path, True, set(changes), **changes)
    assert longer.probabilities["inner"] == pytest.approx(first.probabilities["inner"], abs=1e-6)
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    moved, _ = searched(DARTS(), None, steps=40)
    assert moved.probabilities["inner"] != pytest.approx(first.probabilities["inner"], abs=1e-3)


def test_another_budget_is_the_one_that_holds(tmp_path):
    first, _ = searched(DARTS(), tmp_path, budget="50%")
    with pytest.raises(CheckpointError, match=r"budgets\.params was 76\.0, is 121\.6"):
        searched(DARTS(), tmp_path, True, budget="80%")
    other, _ = searched(DARTS(), tmp_path, True, {"budgets"}, budget="80%")
    assert other.limits["params"] == pytest.approx(first.limits["params"] * 8 / 5)


def test_an_evolution_goes_on_with_more_trials_and_what_is_allowed(tmp_path):
    asked = []

    def evaluate(model):
        asked.append(axes_of(model).current())
        return {"w": float(asked[-1].inner)}

    def evolved(resume=False, allow=(), trials=3, seed=0):
        model = problem().model
        ranked = {"evaluate": evaluate, "metric": "w", "direction": "maximise"}
        given = problem(model=model, costs={"n": Params(model)}, **ranked)
        run = Run(tmp_path, resume=resume, allow=allow)
        return Evolve("random", trials).search(given, SearchSettings(seed=seed), run)

    first = evolved()
    longer = evolved(True, trials=5)
    assert longer.tried[:3] == first.tried and len(longer.tried) == len(asked) == len(set(asked)) == 5
    with pytest.raises(CheckpointError, match="seed was 0, is 1"):
        evolved(True, seed=1)
    with pytest.warns(UserWarning, match="continues with other settings, seed was 0, is 1"):
        evolved(True, {"seed"}, seed=1, trials=6)
    assert len(asked) == 6, "what is known is not evaluated again"


def test_another_budget_of_an_evolution_is_the_one_that_holds(tmp_path):
    given = problem(evaluate=lambda model: {"size": 1.0}, metric="size", direction="maximise")
    costs = {"params": Params(given.model)}
    sizes = sorted(costs["params"](arch) for arch in Sizes.enumerate())

    def found(limit, **how):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            changed = replace(given, costs=costs, budgets={"params": limit})
            return Evolve("random", trials=6, population=2).search(changed, None, Run(tmp_path, **how))

    assert len(found(sizes[1]).tried) == 2
    assert len(found(sizes[4], resume=True, allow={"budgets"}).tried) == 5


class Slowing(torch.optim.Optimizer):
    """Counts its steps in its groups, where torch's own optimizers hold settings alone."""

    def __init__(self, groups, lr):
        super().__init__(groups, {"lr": lr, "count": 0})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            group["count"] += 1
            for weight in group["params"]:
                if weight.grad is not None:
                    weight -= group["lr"] / group["count"] * weight.grad


def test_what_an_optimizer_learns_in_its_groups_goes_on(tmp_path):
    def slowing(weights):
        return Slowing(weights, 0.1)

    trained(tmp_path, optimizer=slowing)
    _, resumed = trained(tmp_path, True, {"steps"}, optimizer=slowing, steps=20)
    _, whole = trained(None, optimizer=slowing, steps=20)
    assert all(map(torch.equal, resumed.parameters(), whole.parameters()))


def test_the_rate_of_a_group_is_a_setting_too(tmp_path):
    def grouped(rate):
        return lambda weights: torch.optim.SGD([{"params": weights[:2]}, {"params": weights[2:], "lr": rate}], lr=0.1)

    trained(tmp_path, optimizer=grouped(0.2))
    with pytest.raises(CheckpointError, match=r"optimizer\.1\.lr was 0\.2, is 0\.3"):
        trained(tmp_path, True, optimizer=grouped(0.3))
