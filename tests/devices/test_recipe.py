"""The recipe on another device: every strategy and option gives what the CPU gives, and training hardly waits."""

import warnings

import polars as pl
import pytest
import torch

pytest.importorskip("torch.utils.backend_registration", reason="needs devices written in Python")
import easrec
from tests.devices.accelerator import on_device

ROWS = [(user, (3 * user + 5 * step) % 11, step) for user in range(16) for step in range(6)]
FRAME = pl.DataFrame(ROWS, schema=["user_id", "item_id", "timestamp"], orient="row")
SMALL = {
    **{"model.layers": 1, "model.hidden": 16, "model.inner": 16, "model.heads": 2, "model.length": 8},
    **{"search.epochs": 1, "search.warmup": 0.0, "search.batch": 8, "search.random_architectures": 1},
    **{"train.epochs": 2, "train.batch": 8},
}
CASES = {
    "linrec, mask": {"model.attention": "linrec", "model.mixing": "mask"},
    "hstu, prefixes": {"model.attention": "hstu", "train.form": "prefixes"},
    "choices of attention, grid": {"model.attention_choices": ["softmax", "linrec"], "model.candidates": "grid"},
    "sampled loss": {"train.loss": "sampled", "train.sampled_items": 4},
    "binary loss, separate weights": {"train.loss": "binary", "model.weights": "separate"},
    "bfloat16": {"train.precision": "bfloat16"},
    "darts": {"search.strategy": "darts"},
    "proxylessnas": {"search.strategy": "proxylessnas"},
    "recnas": {"search.strategy": "recnas"},
    "reinforce": {"search.strategy": "reinforce"},
    "spos": {"search.strategy": "spos"},
}


@pytest.mark.parametrize("case", ["linrec, mask"])
def test_a_run_needs_no_float64_on_the_device(case, tmp_path):
    with on_device(doubles=False):
        run(tmp_path, "toy", CASES[case])


def run(folder, device, settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return easrec.run(
            FRAME, "default", folder, settings={**SMALL, **settings}, budget="none", device=device, progress=False
        )


FAST = ("linrec, mask",)


@pytest.mark.parametrize(
    "case", [case if case in FAST else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_figures_equal_those_of_the_cpu(case, tmp_path):
    expected = run(tmp_path / "cpu", "cpu", CASES[case])
    with on_device():
        found = run(tmp_path / "toy", "toy", CASES[case])
    assert found.networks.keys() == expected.networks.keys()
    for name, network in expected.networks.items():
        assert found.networks[name].architecture == network.architecture
        for stage, protocols in network.metrics.items():
            for protocol, metrics in protocols.items():
                assert found.networks[name].metrics[stage][protocol] == pytest.approx(metrics, rel=1e-6), (name, stage)


def test_a_step_of_training_waits_for_its_loss_and_its_gradients(tmp_path):
    from easrec.config import Config
    from easrec.data import Split, prepare, read_frame
    from easrec.losses import BatchLoss
    from easrec.model import build
    from easrec.space import space_for
    from easrec.training import epoch_batches
    from elasticnas.search import PlainTraining
    from elasticnas.settings import updated

    config = updated(Config(), SMALL)
    split = Split(prepare(read_frame(FRAME)))
    network = build(config.model, split.items, space_for(config.model).largest(), True)
    with on_device(doubles=False) as waits:
        device = torch.device("toy")
        training = PlainTraining(
            network.to(device),
            BatchLoss(config.train, split.training.counts(split.items)),
            epoch_batches(split.training, config, 8, device),
            steps=2,
            rate=lambda step: 1e-3,
            clip_norm=1.0,
            seed=0,
            identity={},
        )
        training.advance()
        waits.clear()
        training.advance()
        assert waits.total() <= 3, dict(waits)
