"""Parameters counted from sizes in scope, against those of the extracted network."""

from typing import Annotated, Literal

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import PerLayer, Space, extract
from elasticnas.axes import select
from elasticnas.cost import Params, params
from elasticnas.errors import ExtractionError


class Sizes(Space):
    hidden: Literal[8, 4]
    inner: Literal[12, 6, 0]
    kind: Literal["a", "b"]
    depth: Literal[1, 2]
    keep: Annotated[tuple[bool, ...], PerLayer(2)]


class Own(enn.ElasticModule):
    """A primitive whose plain form has a further parameter."""

    def __init__(self, hidden):
        super().__init__()
        self.hidden, self.weight = hidden, nn.Parameter(torch.randn(8))

    def tensor_sizes(self):
        return {"weight": (self.hidden,)}

    def example(self, generator):
        return (torch.zeros(2, self.hidden if isinstance(self.hidden, int) else self.hidden.at()),)

    def forward(self, x):
        return x * select(self.weight, (self.hidden,))


class Surprising(Own):
    def plain(self, memo):
        plain = super().plain(memo)
        plain.more = nn.Parameter(torch.zeros(3))
        return plain


class Net(nn.Module):
    """Layers that run or do not, candidates, a layer in two places, tied weights, and tensors of fixed size."""

    def __init__(self, axes, own=Own):
        super().__init__()
        hidden = axes.hidden
        self.items, self.out = enn.Embedding(30, hidden), enn.Linear(hidden, 30, bias=False)
        self.out.weight = self.items.weight
        self.shared = enn.Linear(hidden, hidden)
        feed = enn.DepthSkip(enn.FeedForward(hidden, axes.inner), axes.inner)
        kinds = enn.Mixture(
            {"a": enn.RMSNorm(hidden), "b": nn.Sequential(self.shared, enn.LayerNorm(hidden))}, axes.kind
        )
        self.layers = enn.Stack([feed, kinds], axes.depth)
        self.chosen = enn.Stack([self.shared, enn.Linear(hidden, hidden)], axes.keep)
        self.own, self.scale, self.fixed = own(hidden), enn.Parameter(hidden), nn.Linear(30, 2)

    def forward(self, ids):
        x = self.own(self.chosen(self.layers(self.items(ids)))) * self.scale
        return self.fixed(self.out(x))


def extracted(model, arch):
    return sum(parameter.numel() for parameter in extract(model, arch).parameters())


def refuse(*given):
    raise AssertionError("a network was extracted")


def test_every_architecture_has_the_parameters_of_its_network(monkeypatch):
    model = Net(Sizes.axes())
    expected = {arch: extracted(model, arch) for arch in Sizes.enumerate()}
    assert len(set(expected.values())) == 36
    monkeypatch.setattr(params, "extract_unverified", refuse)
    count = Params(model)
    assert {arch: count(arch) for arch in expected} == expected


def test_a_layer_that_a_stack_repeats_counts_once_at_every_depth():
    class Repeats(nn.Module):
        def __init__(self, axes):
            super().__init__()
            one, other = enn.Linear(axes.hidden, axes.hidden), enn.Linear(axes.hidden, axes.hidden)
            self.layers = enn.Stack([one, other, one], axes.depth)

        def forward(self, x):
            return self.layers(x)

    class Deep(Space):
        hidden: Literal[8, 4]
        depth: Literal[1, 2, 3]

    count = Params(Repeats(Deep.axes()))
    layers = {1: 1, 2: 2, 3: 2}
    assert {arch: count(arch) for arch in Deep.enumerate()} == {
        arch: layers[arch.depth] * (arch.hidden**2 + arch.hidden) for arch in Deep.enumerate()
    }


def test_a_plain_form_of_its_own_is_extracted():
    model = Net(Sizes.axes(), Surprising)
    arch = Sizes.smallest()
    assert Params(model)(arch) == extracted(model, arch) == Params(Net(Sizes.axes()))(arch) + 3


def test_tied_weights_that_are_narrowed_in_two_ways_are_refused():
    class Tied(nn.Module):
        def __init__(self, axes):
            super().__init__()
            self.one, self.other = enn.Linear(axes.inner, axes.hidden), enn.Linear(axes.hidden, axes.inner)
            self.other.weight = self.one.weight

        def forward(self, x):
            return self.other(self.one(x))

    class Square(Space):
        hidden: Literal[8, 4]
        inner: Literal[8, 4]

    count = Params(Tied(Square.axes()))
    assert count(Square(hidden=4, inner=4)) == 4 * 4 + 4 + 4
    with pytest.raises(ExtractionError, match="one tensor, of which this architecture takes"):
        count(Square(hidden=8, inner=4))
