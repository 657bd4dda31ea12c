"""bind on elastified models."""

from typing import Literal

import pytest
import torch
from torch import nn

from elasticnas import Space, bind, elastify, extract
from elasticnas.elastic.writes import no_writes


class Sizes(Space):
    hidden: Literal[16, 8]
    inner: Literal[24, 12]
    depth: Literal[3, 2]


class Counting(nn.Module):
    """A tied language model with a buffer that it replaces in every pass, and one that it changes in place."""

    def __init__(self, hidden, inner, depth):
        super().__init__()
        self.table = nn.Embedding(20, hidden)
        layer = lambda: nn.TransformerEncoderLayer(hidden, 2, inner, dropout=0.4, batch_first=True)  # noqa: E731
        self.layers, self.norm = nn.ModuleList([layer() for _ in range(depth)]), nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, 20, bias=False)
        self.head.weight = self.table.weight
        self.register_buffer("passes", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, ids):
        self.passes = self.passes + 1
        self.seen.add_(ids.numel())
        x = self.table(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


IDS = torch.tensor([[1, 2, 3], [4, 5, 19]])


def supernet():
    torch.manual_seed(0)
    return elastify(Counting, Sizes).double()


def gradients(model):
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


ARCHS = [Sizes(hidden=8, inner=12, depth=2), Sizes(hidden=8, inner=24, depth=3), Sizes.largest()]


@pytest.mark.parametrize("arch", ARCHS)
def test_it_is_the_sub_network_of_a_scope(arch):
    model = supernet().eval()
    bound, plain = bind(model, arch, IDS), extract(model, arch, IDS)
    for _ in range(3):
        found = []
        for run in (bound, model):
            model.zero_grad()
            with model.at(arch):
                output = run(IDS)
            output.square().sum().backward()
            found.append((output.detach(), gradients(model)))
        torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-12, atol=1e-12)
        for name, gradient in found[1][1].items():
            torch.testing.assert_close(found[0][1][name], gradient, rtol=1e-12, atol=1e-12)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.1)
    assert {n: t.shape for n, t in bound.state_dict().items()} == {n: t.shape for n, t in plain.state_dict().items()}


def test_training_steps_are_those_of_a_scope():
    arch, models = Sizes(hidden=8, inner=12, depth=2), [supernet(), supernet()]
    bound = bind(models[1], arch)
    optimizers = [torch.optim.Adam(model.parameters(), 0.01) for model in models]
    for step in range(20):
        for model, run, optimizer in zip(models, (models[0], bound), optimizers, strict=True):
            torch.manual_seed(step)
            optimizer.zero_grad()
            with model.at(arch):
                run(IDS).square().mean().backward()
            optimizer.step()
    scoped, through = (model.state_dict() for model in models)
    assert scoped["network.passes"] == 20 and scoped["network.seen"] == 120
    for name, value in scoped.items():
        torch.testing.assert_close(through[name], value, rtol=1e-12, atol=1e-12)


def test_mode_and_precision_follow_the_supernet():
    model = supernet()
    bound = bind(model, Sizes.smallest())
    model.eval().float()
    with model.at(Sizes.smallest()):
        assert torch.equal(bound(IDS), model(IDS))
    bound.train()
    assert model.network.layers[0].training and bound.layers[0].dropout.training


class Recurrent(nn.Module):
    def __init__(self, hidden, inner, depth):
        super().__init__()
        self.table, self.gru = nn.Embedding(20, hidden), nn.GRU(hidden, inner, 2, batch_first=True)
        self.layers = nn.ModuleList([nn.Linear(inner, inner) for _ in range(depth)])

    def forward(self, ids):
        x, _ = self.gru(self.table(ids))
        for layer in self.layers:
            x = x + layer(x).tanh()
        return x


def test_memory_of_copied_weights_is_not_taken_for_weights():
    """The gates of a GRU are narrowed each, hence copied at every use: what was a copy may be any tensor later."""
    torch.manual_seed(0)
    model, arch = elastify(Recurrent, Sizes, example=IDS).double(), Sizes.smallest()
    bound = bind(model, arch)
    with no_writes(bound):
        new = [torch.zeros(1).add_(1) for _ in range(1000)]
    assert len(new) == 1000
    with model.at(arch):
        assert torch.equal(bound(IDS), model(IDS))
