"""Accumulated batches, validation, early stopping, and losses that jump."""

import copy
import json
import random
import warnings
from typing import Literal

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space, axes_of
from elasticnas.cost import Params
from elasticnas.errors import ConfigError
from elasticnas.run import Run
from elasticnas.search import BilevelSearcher, Fixed, Problem, SearchSettings, SupernetTrainer, TrainerSettings
from elasticnas.search.health import Jumps, exhausted


class Width(Space):
    inner: Literal[8, 4, 2]


def network():
    torch.manual_seed(0)
    return nn.Sequential(enn.FeedForward(4, Width.axes().inner, activation="tanh"), nn.Linear(4, 1)).double()


def batches(number):
    rng = torch.Generator().manual_seed(number)
    return [torch.randn(12, 4, generator=rng, dtype=torch.float64) for _ in range(3)]


def loss(model, x):
    return (model(x).squeeze(-1) - x[:, 0].sin()).square().mean()


def in_parts(source, count):
    return lambda epoch: [part for batch in source(epoch) for part in batch.chunk(count)]


def sgd(weights):
    return torch.optim.SGD(weights, lr=0.1)


@pytest.mark.parametrize("count", [2, 3])
def test_a_trainer_that_accumulates_equal_parts_steps_as_on_the_whole_batch(count):
    runs = []
    for train, accumulate in ((batches, 1), (in_parts(batches, count), count)):
        model = network()
        settings = TrainerSettings(steps=5, accumulate=accumulate, clip_norm=0.5)
        result = SupernetTrainer(Problem(model, loss, train), settings, optimizer=sgd).run()
        runs.append((list(model.parameters()), [h[k] for h in result.history for k in ("loss", "others")]))
    (whole, expected), (parts, found) = runs
    assert found == pytest.approx(expected, rel=1e-12)
    assert all((a - b).abs().max() < 1e-12 for a, b in zip(whole, parts, strict=True))
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(whole, network().parameters(), strict=True))


@pytest.mark.parametrize("count", [2, 3])
def test_a_search_that_accumulates_equal_parts_steps_as_on_the_whole_batch(count):
    def held_out(epoch):
        return batches(100 + epoch)

    runs = []
    for accumulate in (1, count):
        model = network()
        sources = (batches, held_out) if accumulate == 1 else (in_parts(batches, count), in_parts(held_out, count))
        given = Problem(model, loss, *sources, {"params": Params(model)})
        settings = SearchSettings(steps=5, update_every=2, accumulate=accumulate, architecture_lr=0.1)
        work = BilevelSearcher(given, settings, penalty=Fixed(0.3), optimizer=sgd)
        work.controller.logits = {k: v.detach().double().requires_grad_() for k, v in work.controller.logits.items()}
        work._architecture.weights = work.controller.parameters()
        work._architecture.optimizer = torch.optim.SGD(work.controller.parameters(), lr=0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            history = work.run().history
        numbers = [h[k] for h in history for k in ("train_loss", "held_out_loss", "expected_cost")]
        runs.append(([*model.parameters(), *work.controller.parameters()], numbers))
    (whole, expected), (parts, found) = runs
    assert found == pytest.approx(expected, rel=1e-12) and len(found) == 9
    assert all((a - b).abs().max() < 1e-12 for a, b in zip(whole, parts, strict=True))
    assert whole[-1].abs().max() > 1e-3


def test_second_order_and_patience_say_what_they_need():
    with pytest.raises(ConfigError, match="order=2 is the second order of one batch: accumulate=1 is needed"):
        SearchSettings(order=2, accumulate=2)
    with pytest.raises(ConfigError, match="patience counts validations: set validate_every"):
        TrainerSettings(patience=2)


def scripted(values):
    """A metric by hand: the n-th validation gives the n-th value to each of its architectures."""
    seen = []

    def evaluate(model):
        assert not model.training and not torch.is_grad_enabled()
        seen.append(axes_of(model).current())
        return {"score": values[seen[:-1].count(seen[-1])]}

    return evaluate


SCORES = [1.0, 3.0, 2.0, 3.0, 1.0, 9.0, 9.0, 9.0]


def validated(values=SCORES, direction="maximise", run=None, **changes):
    model = network()
    given = Problem(model, loss, batches, evaluate=scripted(values), metric="score", direction=direction)
    settings = TrainerSettings(**{"steps": 16, "validate_every": 2, "checkpoint_every": 2, "patience": 3, **changes})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SupernetTrainer(given, settings).run(run), list(model.parameters())


def weights_after(steps):
    model = network()
    SupernetTrainer(Problem(model, loss, batches), TrainerSettings(steps=steps)).run()
    return list(model.parameters())


def test_a_validation_has_the_largest_the_smallest_and_fixed_random_ones():
    def evaluate(model):
        return {"score": float(axes_of(model).current().inner)}

    given = Problem(network(), loss, batches, evaluate=evaluate, metric="score", direction="maximise")
    settings = TrainerSettings(steps=7, validate_every=3, validated_architectures=20)
    result = SupernetTrainer(given, settings).run()
    one = {"Width(inner=8)": 8.0, "Width(inner=2)": 2.0, "Width(inner=4)": 4.0}
    assert result.validations == [{"step": step, "mean": 14 / 3, "architectures": one} for step in (3, 6)]
    only_ends = settings.model_copy(update={"validated_architectures": 0})
    (first, _) = SupernetTrainer(given, only_ends).run().validations
    assert first["architectures"] == {"Width(inner=8)": 8.0, "Width(inner=2)": 2.0} and first["mean"] == 5.0


def test_validation_changes_nothing_about_the_training():
    _, weights = validated([0.0] * 9, patience=None)
    assert all(map(torch.equal, weights, weights_after(16)))


@pytest.mark.parametrize(("direction", "sign"), [("maximise", 1), ("minimise", -1)])
def test_patience_ends_the_training_with_the_best_weights(direction, sign):
    """3 at the second validation is the best; three more bring nothing better, an equal one included."""
    result, weights = validated([sign * value for value in SCORES], direction)
    assert [record["mean"] for record in result.validations] == [sign * value for value in SCORES[:5]]
    assert result.steps == 10 and len(result.history) == 10
    assert all(map(torch.equal, weights, weights_after(4)))


def test_training_that_gets_better_to_the_end_takes_all_steps():
    result, weights = validated([float(n) for n in range(8)])
    assert result.steps == 16 and all(map(torch.equal, weights, weights_after(16)))


def test_without_any_validation_the_last_weights_stay():
    result, weights = validated(steps=3, validate_every=5)
    assert result.validations == [] and all(map(torch.equal, weights, weights_after(3)))


class Killed(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 4, 6, 9, 10])
def test_a_stopped_training_goes_on_to_the_same_end(stop, tmp_path):
    def kill(progress):
        if progress.step == stop:
            raise Killed

    whole, weights = validated()
    with pytest.raises(Killed):
        validated(run=Run(tmp_path, progress=kill))
    # the script goes on where it was: as many values as the checkpoint has seen
    kept = stop // 2
    again, resumed = validated(SCORES[kept:], run=Run(tmp_path, resume=True))
    assert again.validations == whole.validations and again.history == whole.history
    assert all(map(torch.equal, weights, resumed))


def test_a_search_stops_when_its_evaluations_bring_nothing_better():
    values = iter([1.0, 0.5, 0.7, 0.6, *[2.0] * 99])
    model = network()
    given = Problem(
        model,
        loss,
        batches,
        batches,
        {"params": Params(model)},
        evaluate=lambda m: {"score": next(values)},
        metric="score",
        direction="minimise",
    )
    settings = SearchSettings(steps=60, update_every=5, evaluate_every=4, patience=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert BilevelSearcher(given, settings).run().steps == 16


@pytest.mark.parametrize(
    ("values", "patience", "direction", "done"),
    [
        ([], 1, "maximise", False),
        ([1.0], 1, "maximise", False),
        ([1.0, 1.0], 1, "maximise", True),
        ([1.0, 2.0], 1, "maximise", False),
        ([1.0, 2.0], 1, "minimise", True),
        ([2.0, 1.0, 1.5], 2, "maximise", True),
        ([2.0, 1.0, 2.5], 2, "maximise", False),
        ([2.0, 1.0], None, "minimise", False),
    ],
)
def test_exhausted_by_hand(values, patience, direction, done):
    assert exhausted(values, patience, direction) is done


def seen(losses):
    jumps = Jumps()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step, value in enumerate(losses, 1):
            jumps.see(value, step)
    return jumps.warnings


def test_a_training_that_falls_apart_is_told_with_both_losses():
    """All weights are drawn anew at step 60."""
    torch.manual_seed(0)
    model = nn.Sequential(enn.FeedForward(6, Width.axes().inner), nn.Linear(6, 2))
    x = torch.randn(20, 16, 6)

    def classify(model, x):
        return nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())

    def jump(progress):
        if progress.step == 60:
            for parameter in model.parameters():
                parameter.data.normal_(std=3.0)

    trainer = SupernetTrainer(Problem(model, classify, list(x)), TrainerSettings(steps=100))
    with pytest.warns(UserWarning, match=r"the loss jumped to [\d.]+ at step 61, from a median of 0\.\d+") as told:
        result = trainer.run(Run(progress=jump))
    (line,) = result.warnings
    assert f"jumped to {result.history[60]['loss']:.4g} at step 61" in line
    assert str(told[0].message) == line and told[0].filename == __file__


def normal(rng, scale=1.0):
    return [5.0 + scale * rng.gauss(0, 1) for _ in range(2000)]


QUIET = {
    "normal noise": normal,
    "noise as large as the loss": lambda rng: [abs(value) for value in normal(rng, 5.0)],
    "exponential": lambda rng: [rng.expovariate(1.0) for _ in range(2000)],
    "log-normal": lambda rng: [rng.lognormvariate(0, 1) for _ in range(2000)],
    "right or wrong": lambda rng: [float(rng.random() < 0.1) for _ in range(2000)],
    "an odd batch now and then": lambda rng: [
        5.0 if rng.random() < 0.05 else 1.0 + 0.01 * rng.random() for _ in range(2000)
    ],
    "falls fast": lambda rng: [10.0 * 0.8**n * (1 + 0.1 * rng.random()) for n in range(60)],
    "falls and stays": lambda rng: [10.0 / (1 + n) + 0.05 * rng.random() for n in range(2000)],
    "negative": lambda rng: [-100.0 + rng.gauss(0, 2) for _ in range(2000)],
    "negative and falling": lambda rng: [-float(n) + rng.gauss(0, 2) for n in range(2000)],
    "around zero": lambda rng: [rng.gauss(0, 1) for _ in range(2000)],
    "constant": lambda rng: [0.7] * 100,
    "zero": lambda rng: [0.0] * 100,
}


@pytest.mark.parametrize("kind", QUIET)
def test_no_false_alarm(kind):
    for seed in range(3):
        assert seen(QUIET[kind](random.Random(seed))) == []


@pytest.mark.parametrize(
    ("calm", "high"), [(1.0, 2.0), (0.01, 0.5), (5.0, 1e6), (-100.0, 3.0), (-100.0, -40.0), (0.0, 1.0)]
)
def test_a_level_far_above_is_one_warning(calm, high):
    rng = random.Random(0)
    losses = [calm + 0.01 * abs(calm) * rng.gauss(0, 1) for _ in range(60)] + [high] * 100
    (line,) = seen(losses)
    assert line.startswith(f"the loss jumped to {high:.4g} at step 61, from a median of ")
    assert len(seen(losses + losses)) == 2, "calm again, and high again: another one"


def test_what_was_seen_is_kept_over_an_interruption():
    losses = [1.0 + 0.01 * (n % 3) for n in range(40)] + [9.0] * 5
    for cut in (41, 42, 44):
        before, after = Jumps(), Jumps()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for step, value in enumerate(losses[:cut], 1):
                before.see(value, step)
            after.load_state_dict(copy.deepcopy(before.state_dict()))
            for step, value in enumerate(losses[cut:], cut + 1):
                after.see(value, step)
        assert after.warnings == seen(losses) != []


def test_a_metric_of_the_name_of_a_figure_hides_none(tmp_path):
    given = Problem(network(), loss=loss, train=batches(1), held_out=batches(2))
    result = SupernetTrainer(given, TrainerSettings(steps=2, validate_every=1)).run(Run(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [record["loss"] for record in result.history]
    assert [line["evaluated loss"] for line in lines] == [record["mean"] for record in result.validations]


def watched(evaluate, folder=None, **changes):
    torch.manual_seed(0)
    model = nn.Sequential(enn.FeedForward(6, Width.axes().inner))
    given = {"evaluate": evaluate, "metric": "acc", "direction": "maximise"}
    problem = Problem(model, lambda model, x: model(x).square().mean(), [torch.ones(2, 6)], **given)
    settings = TrainerSettings(validate_every=2, validated_architectures=0, checkpoint_every=1, **changes)
    run = Run(folder, resume=True, allow={"patience", "steps"})
    return SupernetTrainer(problem, settings).run(run)


def test_a_validation_that_fails_is_left_out_and_the_training_goes_on():
    """The smallest cannot be validated at the second validation, nothing can at the third."""
    answers = iter([0.0, 0.0, 1.0, None, None, None, 3.0, 3.0])

    def evaluate(model):
        answer = next(answers)
        if answer is None:
            raise RuntimeError("out of memory (simulated)")
        return {"acc": answer}

    with pytest.warns(UserWarning, match=r"the validation of Width\(.*\) failed: RuntimeError: out of memory"):
        result = watched(evaluate, steps=8, patience=5)
    assert [record["mean"] for record in result.validations] == [0.0, 1.0, None, 3.0]
    assert list(result.validations[1]["architectures"].values()) == [1.0, None]


def test_patience_that_is_allowed_later_counts_from_there(tmp_path):
    """Without patience no weights were kept: the better validation before it cannot be gone back to."""
    answers = iter([9.0, 9.0, 1.0, 1.0, 2.0, 2.0, 1.5, 1.5, 0.0, 0.0])

    def evaluate(model):
        return {"acc": next(answers)}

    watched(evaluate, tmp_path, steps=2)
    with pytest.warns(UserWarning, match="settings"):
        result = watched(evaluate, tmp_path, steps=20, patience=1)
    assert [record["mean"] for record in result.validations] == [9.0, 1.0, 2.0, 1.5] and result.steps == 8
