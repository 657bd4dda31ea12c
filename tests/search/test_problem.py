"""Problem: what is wrong with it is one line, and each user names the part that it misses."""

import re
from typing import Literal

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.cost import Params
from elasticnas.errors import BudgetError, ConfigError, InactiveChoiceError, SearchError
from elasticnas.search import (
    DARTS,
    SPOS,
    BilevelSearcher,
    DynamicConstraint,
    Evolve,
    Problem,
    RandomSearch,
    SearchSettings,
    SupernetTrainer,
    TrainerSettings,
)


class Width(Space):
    inner: Literal[8, 4]


def network():
    torch.manual_seed(0)
    return enn.FeedForward(4, Width.axes().inner)


def loss(model, batch):
    return model(batch).square().mean()


def evaluate(model):
    return {"accuracy": 1.0}


DATA = [torch.ones(2, 4)]
RANKED = {"evaluate": evaluate, "metric": "accuracy", "direction": "maximise"}


def whole(**changes):
    model = network()
    given = {"loss": loss, "train": DATA, "held_out": DATA, "costs": {"params": Params(model)}}
    return Problem(model, **given | changes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"loss": nn.MSELoss()},
            "loss=MSELoss() takes predictions and targets: loss(model, batch) is needed, such as lambda model, batch: ",
        ),
        ({"loss": 3}, "loss=3: a function is needed"),
        ({"evaluate": {"accuracy": 1.0}}, "evaluate={'accuracy': 1.0}: a function is needed"),
        ({"predict": "logits"}, "predict='logits': a function is needed"),
        ({"costs": {}}, 'costs={}: costs by name are needed, such as {"flops": Flops(model, example)}'),
        ({"costs": {"n": len}}, "costs={'n': <built-in function len>}: costs by name are needed"),
        ({"budgets": "50%"}, 'budgets=\'50%\': limits by the name of a cost are needed, such as {"flops": "50%"}'),
        ({"budgets": {"flops": "50%"}}, "budgets['flops']: no cost has this name; known are params"),
        ({"costs": None, "budgets": {"flops": 1}}, "budgets['flops']: no cost has this name"),
        (RANKED | {"direction": "up"}, 'direction=\'up\': give direction="maximise" or direction="minimise"'),
        (RANKED | {"metric": None}, 'evaluate without a metric: give the name that it returns, metric="...", and '),
        (RANKED | {"direction": None}, "metric='accuracy' without a direction: give direction=\"maximise\" or "),
        (RANKED | {"evaluate": None}, "metric='accuracy', direction='maximise' without evaluate: the mean held-out"),
        ({"direction": "maximise"}, "metric=None, direction='maximise' without evaluate: the mean held-out loss is"),
    ],
    ids=lambda given: given[:40] if isinstance(given, str) else "",
)
def test_what_is_wrong_with_it_is_one_line_with_the_value(wrong, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}") as raised:
        whole(**wrong)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 250


PARTS = {
    "loss": "loss(model, batch) -> scalar tensor",
    "train": "batches to train on: a DataLoader, a list, or epoch -> batches",
    "held_out": "batches that training does not see, given like train",
    "costs": 'costs by name, such as {"flops": Flops(model, example)}',
    "evaluate": 'evaluate(model) -> {"accuracy": value}, with metric= and direction=, or loss= and held_out=',
}


@pytest.mark.parametrize(
    ("user", "missing", "named"),
    [
        ("SupernetTrainer", "loss", "loss"),
        ("SupernetTrainer", "train", "train"),
        ("validate_every", "held_out", "evaluate"),
        ("bilevel", "loss", "loss"),
        ("bilevel", "train", "train"),
        ("bilevel", "held_out", "held_out"),
        ("bilevel", "costs", "costs"),
        ("darts", "held_out", "held_out"),
        ("evolve", "costs", "costs"),
        ("evolve", "held_out", "evaluate"),
        ("evolve", "loss", "evaluate"),
        ("spos", "costs", "costs"),
        ("spos", "held_out", "evaluate"),
        ("random", "costs", "costs"),
        ("the dual penalty", "costs", "costs"),
    ],
)
def test_each_user_names_the_part_that_it_misses(user, missing, named):
    start = {
        "SupernetTrainer": SupernetTrainer,
        "validate_every": lambda given: SupernetTrainer(given, TrainerSettings(validate_every=1)),
        "bilevel": BilevelSearcher,
        "darts": DARTS().search,
        "evolve": Evolve().search,
        "spos": SPOS().search,
        "random": RandomSearch().search,
        "the dual penalty": DynamicConstraint(depth=None, penalty="dual").search,
    }[user]
    with pytest.raises(ConfigError) as raised:
        start(whole(**{missing: None}))
    assert str(raised.value) == f"{user} needs Problem({named}=...): {PARTS[named]}"


def test_a_part_that_nobody_misses_is_not_asked_for():
    SupernetTrainer(Problem(network(), loss, DATA), TrainerSettings(steps=1)).run()
    model = network()
    given = Problem(model, costs={"params": Params(model)}, **RANKED)
    assert len(Evolve("random", trials=2).search(given).tried) == 2


def test_what_the_model_lacks_is_told_when_it_is_asked_for():
    class Two(Width):
        other: Literal[1, 2]

    with pytest.raises(InactiveChoiceError, match="other"):
        _ = Problem(enn.FeedForward(4, Two.axes().inner)).axes
    for parameter in (model := network()).parameters():
        parameter.requires_grad_(False)
    with pytest.raises(SearchError, match="FeedForward has no weights to train"):
        Problem(model).weights()


def test_budgets_are_shares_or_numbers_by_the_name_of_their_cost():
    model = network()
    params = Params(model)
    given = Problem(model, costs={"a": params, "b": params}, budgets={"b": "75%", "a": 60})
    # 4*8+8 + 8*4+4 of the larger
    assert {name: budget.limit for name, budget in given.limits().items()} == {"b": 0.75 * 76, "a": 60.0}
    with pytest.raises(BudgetError, match="smallest reachable cost"):
        Problem(model, costs={"a": params}, budgets={"a": "1%"}).limits()


def test_without_evaluate_the_mean_held_out_loss_is_minimised():
    model = network()
    halves = [torch.full((2, 4), 0.5), torch.ones(2, 4), torch.full((2, 4), 2.0)]
    given = Problem(model, loss, DATA, lambda epoch: iter(halves[epoch:]), {"params": Params(model)})
    assert given.ranking == ("loss", "minimise")
    result = Evolve("random", trials=2).search(given, SearchSettings())
    for candidate in result.tried:
        with given.axes.at(candidate.architecture), torch.no_grad():
            by_hand = sum(float(loss(model, batch)) for batch in halves) / 3
        assert candidate.metrics == {"loss": pytest.approx(by_hand)}
    assert result.found == min(result.tried, key=lambda candidate: candidate.metrics["loss"])
