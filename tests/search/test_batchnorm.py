"""BatchNorm: statistics of the architecture itself, in a search and in extracted networks."""

import copy
import warnings
from typing import Literal

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

import elasticnas
from elasticnas import Space, elastify, extract
from elasticnas.cost import Params
from elasticnas.errors import ConfigError
from elasticnas.extraction import recalibrate
from elasticnas.search import Evolve, Problem, SearchSettings, SupernetTrainer, TrainerSettings


class Widths(Space):
    first: Literal[12, 6, 3]
    second: Literal[12, 6, 3]


def build(first, second):
    return nn.Sequential(
        nn.Linear(5, first), nn.BatchNorm1d(first), nn.Dropout(0.5), nn.GELU(),
        nn.Linear(first, second), nn.BatchNorm1d(second, momentum=0.3), nn.GELU(), nn.Linear(second, 2),
    )  # fmt: skip


def batches(epoch):
    x = torch.randn(20, 32, 5, generator=torch.Generator().manual_seed(epoch)) * 3 + 1
    return list(zip(x, (x[..., 0] * x[..., 1] > 1).long(), strict=True))


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def accuracy(model):
    return {"accuracy": sum(float((model(x).argmax(-1) == y).float().mean()) for x, y in batches(1000)) / 20}


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    model = elastify(build, Widths)
    settings = TrainerSettings(steps=60, random_architectures=1, weight_lr=3e-3)
    SupernetTrainer(Problem(model, loss, batches), settings).run()
    return model.eval()


INPUTS = [x for x, _ in batches(2000)]
ARCH = Widths(first=6, second=3)


def by_torch(network):
    """torch's own estimate, without dropout."""
    network = copy.deepcopy(network)
    network[2].p = 0.0
    update_bn(INPUTS, network)
    return network.eval()


def extracted(model, arch):
    return extract(model, arch, INPUTS[0], calibration=())


def test_extracted_networks_get_the_statistics_that_torch_estimates(trained):
    expected = by_torch(extracted(trained, ARCH))
    network = extract(trained, ARCH, INPUTS[0], calibration=INPUTS)
    for number in (1, 5):
        torch.testing.assert_close(network[number].running_mean, expected[number].running_mean)
        torch.testing.assert_close(network[number].running_var, expected[number].running_var)
    assert (network[1].momentum, network[5].momentum) == (0.1, 0.3)
    assert not network.training and not network[1].training and network[2].p == 0.5
    recalibrate(network.train(), INPUTS)  # without dropout too
    assert network.training and network[2].training
    torch.testing.assert_close(network[5].running_mean, expected[5].running_mean)


def test_a_supernet_in_scope_changes_the_statistics_of_active_units_alone(trained):
    model = copy.deepcopy(trained)
    before = model.network[1].running_mean.clone()
    expected = by_torch(extracted(model, ARCH))
    with model.at(ARCH):
        assert recalibrate(model, batches(2000), lambda network, batch: network(batch[0])) == 2
        torch.testing.assert_close(model(INPUTS[0]), expected(INPUTS[0]))
    assert torch.equal(model.network[1].running_mean[6:], before[6:])
    torch.testing.assert_close(model.network[1].running_mean[:6], expected[1].running_mean)
    with model.at(ARCH):  # momentum and modes are as before
        model.train()
        model(INPUTS[0])
    mean = (INPUTS[0] @ model.network[0].weight[:6].T + model.network[0].bias[:6]).mean(0)
    torch.testing.assert_close(model.network[1].running_mean[:6], 0.9 * expected[1].running_mean + 0.1 * mean)


def test_a_search_ranks_by_the_statistics_of_each_architecture(trained):
    before = copy.deepcopy(trained.state_dict())
    problem = Problem(
        trained, loss, costs={"params": Params(trained)}, evaluate=accuracy, metric="accuracy", direction="maximise",
        calibration=batches(2000),
    )  # fmt: skip
    result = Evolve("random", trials=9).search(problem, SearchSettings(seed=0))
    assert len(result.tried) == 9
    for candidate in result.tried:
        network = by_torch(extracted(trained, candidate.architecture))
        with torch.no_grad():
            assert candidate.metrics["accuracy"] == pytest.approx(accuracy(network)["accuracy"], abs=1e-4)
    assert all(torch.equal(trained.state_dict()[name], value) for name, value in before.items())


def test_without_batches_there_is_one_warning(trained):
    problem = Problem(
        trained, loss, costs={"params": Params(trained)}, evaluate=accuracy, metric="accuracy", direction="maximise"
    )
    line = "BatchNorm1d has running statistics of many architectures, which fit none of them: give evolve Problem"
    with pytest.warns(match=line) as caught:
        Evolve("random", trials=2).search(problem, SearchSettings(seed=0))
    assert sum("running statistics" in str(each.message) for each in caught) == 1
    with pytest.warns(match=r"fit none of them: give extract\(\.\.\., calibration=inputs\), or calibration=\(\)"):
        extract(trained, ARCH, INPUTS[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extracted(trained, ARCH)
        extract(elastify(build, Widths), ARCH, INPUTS[0])  # not trained yet
        assert recalibrate(nn.Linear(2, 2), []) == 0


def test_batches_that_do_not_fit(trained):
    network = extracted(trained, ARCH)
    with pytest.raises(ConfigError, match=r"^there is no batch to estimate the statistics of BatchNorm from"):
        recalibrate(network, [])
    with pytest.raises(
        ConfigError, match=r"^Sequential cannot run on a batch for BatchNorm \(TypeError: .*give inputs"
    ):
        recalibrate(network, batches(0))


def test_a_plain_model_of_elastic_primitives_has_them_too():
    class Net(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.up, self.down = elasticnas.nn.Linear(5, sizes.first), elasticnas.nn.Linear(sizes.first, sizes.second)
            self.out, self.norm = elasticnas.nn.Linear(sizes.second, 4), nn.BatchNorm1d(4)

        def forward(self, x):
            return self.norm(self.out(self.down(torch.relu(self.up(x)))))

    model = Net(Widths.axes()).train()
    model(INPUTS[0])
    network = extract(model, ARCH, INPUTS[0], calibration=INPUTS)
    with torch.no_grad():
        y = torch.stack([network.out(network.down(torch.relu(network.up(x)))) for x in INPUTS])
    torch.testing.assert_close(network.norm.running_mean, y.mean((0, 1)))
