"""A killed and resumed run over a DataLoader of torch is the uninterrupted one."""

from typing import Literal

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.cost import Params
from elasticnas.run import Run
from elasticnas.search import BilevelSearcher, Problem, SearchSettings, SupernetTrainer, TrainerSettings


class Width(Space):
    inner: Literal[12, 6]


class Killed(Exception):
    pass


X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
DATA = TensorDataset(X, X.sum(-1, keepdim=True))


def loss(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def network():
    torch.manual_seed(0)
    layers = [enn.FeedForward(4, Width.axes().inner, dropout=0.3), nn.Dropout(0.2), nn.Linear(4, 1)]
    return nn.Sequential(*layers)


def loader(shuffle):
    return DataLoader(DATA, batch_size=8, shuffle=shuffle)


def trained(shuffle, path=None, kill=None, resume=False):
    model = network()
    given = Problem(model, loss, loader(shuffle))
    run(SupernetTrainer(given, TrainerSettings(steps=13, checkpoint_every=4)), path, kill, resume)
    return [p.detach() for p in model.parameters()]


def searched(order, shuffle, path=None, kill=None, resume=False):
    model, data = network(), loader(shuffle)  # the held-out one is given by a function
    settings = SearchSettings(steps=13, checkpoint_every=4, order=order, evaluate_every=None, update_every=2)
    given = Problem(model, loss, loader(shuffle), lambda epoch: data, {"params": Params(model)})
    run(BilevelSearcher(given, settings), path, kill, resume)
    return [p.detach() for p in model.parameters()]


def run(search, path, kill, resume):
    def progress(now):
        if now.step == kill:
            raise Killed

    if kill is None:
        search.run(Run(path, resume=resume))
        return
    with pytest.raises(Killed):
        search.run(Run(path, progress=progress))


@pytest.mark.parametrize("kill", [4, 6, 11])  # at a checkpoint, after one, and in another epoch
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_trainer_over_a_loader_is_resumed_exactly(shuffle, kill, tmp_path):
    whole = trained(shuffle)
    trained(shuffle, tmp_path / "run", kill)
    torch.randn(3)  # the generators have gone elsewhere meanwhile
    resumed = trained(shuffle, tmp_path / "run", resume=True)
    assert all(map(torch.equal, resumed, whole))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_search_over_loaders_is_resumed_exactly(order, shuffle, tmp_path):
    whole = searched(order, shuffle)
    searched(order, shuffle, tmp_path / "run", kill=7)
    torch.randn(3)
    resumed = searched(order, shuffle, tmp_path / "run", resume=True)
    assert all(map(torch.equal, resumed, whole))
