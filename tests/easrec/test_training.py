"""Retraining and search: what they see, when they stop, what they keep."""

import math

import pytest
import torch

from easrec import searching
from easrec.config import Config
from easrec.data import Split, count_batches, prepare
from easrec.data.synthetic import planted
from easrec.model import build, supernet
from easrec.pipeline import evaluators
from easrec.space import space_for
from easrec.training import learning_rate, train
from elasticnas.errors import CheckpointError, SearchError
from elasticnas.run import Run

CPU = torch.device("cpu")
CONFIG = Config().updated(
    {
        "model": {"hidden": 8, "inner": 8, "length": 12, "layers": 1, "heads": 2, "dropout": 0.1},
        "train": {"epochs": 3, "batch": 16, "learning_rate": 0.01},
        "search": {"epochs": 1, "batch": 16},
        "negatives": 10,
        "checkpoint_steps": 2,
    }
)


@pytest.fixture(scope="module")
def split():
    return Split(prepare(planted(users=60, items=24, categories=4, length=9).frame))


def network(split, config=CONFIG):
    torch.manual_seed(0)
    return build(config.model, split.items, space_for(config.model).largest(), True)


def test_the_cosine_warms_up_and_ends_at_zero():
    rates = [learning_rate(step, 100, CONFIG) for step in range(100)]
    top = CONFIG.train.learning_rate
    assert rates[0] == pytest.approx(top / 5) and rates[4] == pytest.approx(top) and max(rates) == pytest.approx(top)
    assert rates[5:] == sorted(rates[5:], reverse=True) and rates[-1] < 0.001 * top
    # half of the cosine is half of the rate
    assert learning_rate(5 + 95 // 2, 100, CONFIG) == pytest.approx(top / 2, rel=0.05)
    constant = CONFIG.updated({"train.schedule": "constant"})
    assert {learning_rate(step, 100, constant) for step in (0, 50, 99)} == {top}


def test_the_best_epoch_is_kept(split):
    config = CONFIG.updated({"train.epochs": 5})
    validation = evaluators(split, config)["validation"]
    trained = train(network(split), split, validation, config, CPU)
    metrics = [record["metric"] for record in trained.history]
    assert trained.best_epoch == 1 + metrics.index(max(metrics)) and trained.epochs == len(metrics) == 5
    again = validation.evaluate(trained.network.next_item)
    assert again["unseen"]["ndcg@10"] == max(metrics) and not trained.network.training


def test_training_stops_when_nothing_improves(split):
    # a rate of almost 0 changes nothing: the first validation stays the best
    config = CONFIG.updated({"train": {"epochs": 30, "patience": 2, "learning_rate": 1e-12}})
    trained = train(network(split), split, evaluators(split, config)["validation"], config, CPU)
    assert trained.best_epoch == 1 and trained.epochs == 3


def test_the_loss_falls(split):
    config = CONFIG.updated({"train.epochs": 8})
    trained = train(network(split), split, evaluators(split, config)["validation"], config, CPU)
    losses = [record["loss"] for record in trained.history]
    assert losses[0] == pytest.approx(math.log(24), abs=0.1) and losses[-1] < losses[0] - 0.1


def test_a_training_cut_off_inside_an_epoch_goes_on_to_the_same_weights(split, tmp_path):
    validation = evaluators(split, CONFIG)["validation"]

    class Cut(Exception):
        pass

    per_epoch = count_batches(split.training, 12, 16, "users", "causal", 0)

    def cut(at):
        def progress(p):
            if p.step >= per_epoch + at:
                raise Cut

        return progress

    torch.manual_seed(3)
    whole = train(network(split), split, validation, CONFIG, CPU)
    folder = tmp_path / "train"
    torch.manual_seed(3)
    for at in (1, 3):
        with pytest.raises(Cut):
            train(network(split), split, validation, CONFIG, CPU, Run(folder, resume=True, progress=cut(at)))
        torch.manual_seed(99)
    resumed = train(network(split), split, validation, CONFIG, CPU, Run(folder, resume=True))
    assert [r["metric"] for r in resumed.history] == [r["metric"] for r in whole.history]
    for ours, theirs in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        train(network(split), split, validation, CONFIG.updated({"seed": 5}), CPU, Run(folder, resume=True))


def test_a_loss_that_is_not_finite_stops(split):
    broken = network(split)
    broken.items.weight.data[1:] = math.nan
    with pytest.raises(SearchError, match="the training loss is nan at step 0: lower the learning rate"):
        train(broken, split, evaluators(split, CONFIG)["validation"], CONFIG, CPU)


def test_architecture_steps_see_other_users_than_weight_steps(split, monkeypatch):
    seen = {}

    class Spy(searching.Problem):
        def __init__(self, model, **given):
            seen["train"], seen["held out"] = given["train"], given["held_out"]
            super().__init__(model, **given)

    monkeypatch.setattr(searching, "Problem", Spy)
    torch.manual_seed(0)
    model = supernet(CONFIG.model, split.items, True)
    with pytest.warns(UserWarning):
        searching.search_architecture(model, split, evaluators(split, CONFIG)["validation"], CONFIG, CPU)

    def count(batches):
        return sum(len(batch.inputs) for epoch in batches for batch in epoch)

    users = len(split.training)
    held_out = count([seen["held out"](0)])
    assert held_out == round(0.1 * users)
    assert count([seen["train"](0)]) == users - held_out

    def rows(batches):
        return {tuple(x for x in row if x) for batch in batches for row in batch.inputs.tolist()}

    # every sequence is one window here: none is on both sides
    assert not rows(seen["train"](0)) & rows(seen["held out"](0))


@pytest.mark.parametrize("attention", ["softmax", "linrec"])
def test_bfloat16_trains_to_about_the_same(split, attention):
    losses = {}
    for precision in ("float32", "bfloat16"):
        config = CONFIG.updated({"train.precision": precision, "model.attention": attention, "train.epochs": 2})
        torch.manual_seed(0)
        trained = train(network(split, config), split, evaluators(split, config)["validation"], config, CPU)
        assert all(p.dtype == torch.float32 for p in trained.network.parameters())
        losses[precision] = trained.history[-1]["loss"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert losses["bfloat16"] != losses["float32"]
