"""What no proof has seen must not be cut without a word; what is right must not be refused."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from elasticnas import PerLayer, Space, bind, elastify
from elasticnas.elastic import layer_importance
from elasticnas.errors import ElasticNASError

HEADS = torch.arange(32).view(4, 8)[:, :4].reshape(-1)  # the first half of each of four heads


class Attention(nn.Module):
    def __init__(self, hidden, heads=4):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(hidden, hidden) for _ in range(4))

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Model(nn.Module):
    def __init__(self, hidden, heads=4):
        super().__init__()
        self.items, self.mix, self.head = nn.Embedding(20, hidden), Attention(hidden, heads), nn.Linear(hidden, 3)

    def forward(self, ids):
        x = self.items(ids)
        return self.head(x + self.mix(x))


class Hidden(Space):
    hidden: Literal[32, 16]


def refused_or_whole_heads(build, space, arch, name="mix.q.weight", rows=HEADS, **arguments):
    try:
        model = elastify(build, space, **arguments)
    except ElasticNASError:
        return
    full, active = dict(model.network.named_parameters())[name], dict(bind(model, arch).named_parameters())[name]
    torch.testing.assert_close(active, full[rows][:, : active.shape[1]])


def test_a_choice_that_is_no_integer():
    class Width(Space):
        width: Literal[1.0, 0.5]

    class Named(Space):
        kind: Literal["base", "small"]

    class Wide(Space):
        wide: bool

    refused_or_whole_heads(lambda width: Model(int(32 * width)), Width, Width(width=0.5))
    refused_or_whole_heads(lambda kind: Model({"base": 32, "small": 16}[kind]), Named, Named(kind="small"))
    refused_or_whole_heads(lambda wide: Model(32 if wide else 16), Wide, Wide(wide=False))


def test_a_projection_that_the_smaller_model_lacks():
    class Projected(Model):
        def __init__(self, hidden):
            super().__init__(hidden)
            self.items = nn.Embedding(20, 16)
            self.project = nn.Identity() if hidden == 16 else nn.Linear(16, hidden)

        def forward(self, ids):
            x = self.project(self.items(ids))
            return self.head(x + self.mix(x))

    refused_or_whole_heads(Projected, Hidden, Hidden(hidden=16))


def test_an_option_in_between_of_another_structure():
    class Three(Space):
        hidden: Literal[32, 24, 16]

    heads = {32: 4, 24: 3, 16: 4}
    rows = torch.arange(24)  # three heads of eight
    refused_or_whole_heads(lambda hidden: Model(hidden, heads[hidden]), Three, Three(hidden=24), rows=rows)


@pytest.mark.slow
def test_a_large_model_whose_number_of_heads_follows_from_its_size():
    class Large(Space):
        hidden: Literal[1024, 512]

    rows = torch.arange(1024).view(16, 64)[:, :32].reshape(-1)
    build = lambda hidden: Model(hidden, max(1, min(16, hidden // 32)))  # noqa: E731
    refused_or_whole_heads(build, Large, Large(hidden=512), rows=rows)


@pytest.mark.parametrize("example", [torch.zeros(1, 1, dtype=torch.long), torch.zeros(2, 5, dtype=torch.long)])
def test_an_example_whose_positions_are_alike(example):
    refused_or_whole_heads(Model, Hidden, Hidden(hidden=16), example=example)


def test_a_part_that_the_example_does_not_run():
    class Memory(Model):
        def __init__(self, hidden):
            super().__init__(hidden)
            self.cross = Attention(hidden)

        def forward(self, ids, memory=None):
            x = self.items(ids)
            x = x + self.mix(x)
            return self.head(x if memory is None else x + self.cross(x + self.items(memory)))

    refused_or_whole_heads(Memory, Hidden, Hidden(hidden=16), name="cross.q.weight")


def test_a_part_that_has_an_effect_without_a_gradient():
    class Coded(Model):
        def __init__(self, hidden):
            super().__init__(hidden)
            self.book = nn.Embedding(3, 5)

        def forward(self, ids):
            return self.book(super().forward(ids).argmax(-1))

    refused_or_whole_heads(Coded, Hidden, Hidden(hidden=16))


def test_gated_experts_that_few_tokens_reach():
    class Inner(Space):
        inner: Literal[16, 8]

    class Experts(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.router = nn.Linear(8, 4)
            self.up = nn.ModuleList(nn.Linear(8, 2 * inner) for _ in range(4))
            self.down = nn.ModuleList(nn.Linear(inner, 8) for _ in range(4))

        def forward(self, x):
            y, best = torch.zeros_like(x), self.router(x).argmax(-1)
            for number, (up, down) in enumerate(zip(self.up, self.down, strict=True)):
                at = (best == number).nonzero(as_tuple=True)
                if len(at[0]):
                    a, b = up(x[at]).chunk(2, -1)
                    y[at] = down(a * b.sigmoid())
            return y

    rows = torch.cat([torch.arange(8), torch.arange(16, 24)])
    for number in range(4):
        refused_or_whole_heads(Experts, Inner, Inner(inner=8), name=f"up.{number}.weight", rows=rows)


class Kept(Space):
    keep: Annotated[tuple[bool, ...], PerLayer(4)]

    @property
    def depth(self) -> int:
        return max(1, sum(self.keep))


class Added(nn.Module):
    """Residuals are added by the parent; a layer is a list of two modules."""

    def __init__(self, depth):
        super().__init__()
        self.items, self.head = nn.Embedding(20, 8), nn.Linear(8, 3)
        self.layers = nn.ModuleList(nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)]) for _ in range(depth))

    def forward(self, ids):
        x = self.items(ids)
        for first, second in self.layers:
            x = first(x) + x
            x = second(x).tanh() + x
        return self.head(x)


def test_layers_that_their_parent_runs_are_not_ranked_as_worth_nothing():
    model = elastify(Added, Kept, rules={"layers": "keep"}).eval()
    try:
        ranking = layer_importance(model, [torch.randint(0, 20, (4, 5))], stack="layers")
    except ElasticNASError:
        return
    assert min(ranking.scores) > 0


def test_a_loop_that_counts_layers_is_found_without_an_example():
    class Alternating(nn.Module):
        def __init__(self, depth):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(depth))

        def forward(self, x):
            for number, layer in enumerate(self.layers):
                x = x + layer(x).tanh() * (1 if number % 2 else 0.1)
            return x

    x = torch.randn(2, 8)
    try:
        model = elastify(Alternating, Kept, rules={"layers": "keep"}).eval()
        with model.at(Kept(keep=(False, True, False, True))):
            found = model(x)
    except ElasticNASError:
        return
    expected = x
    for number in (1, 3):
        expected = expected + model.network.layers[number](expected).tanh()
    torch.testing.assert_close(found, expected)


def test_layers_with_a_rate_that_rises_with_depth():
    class Depth(Space):
        depth: Literal[4, 2]

    def build(depth):
        rates = torch.linspace(0, 0.1, depth).tolist()
        return nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.Dropout(rate)) for rate in rates))

    assert elastify(lambda depth: nn.Sequential(build(depth), nn.Linear(8, 2)), Depth)


def test_fewer_key_heads_with_another_choice():
    transformers = pytest.importorskip("transformers")

    class Sizes(Space):
        inner: Literal[96, 48]
        kv: Literal[2, 1]

    def build(inner, kv):
        config = transformers.LlamaConfig(
            vocab_size=60,
            hidden_size=64,
            num_attention_heads=8,
            num_key_value_heads=kv,
            intermediate_size=inner,
            num_hidden_layers=1,
        )
        return transformers.LlamaForCausalLM(config)

    assert elastify(build, Sizes)


@pytest.mark.parametrize("groups", [2, 3])
def test_blocks_that_a_softmax_mixes(groups):
    """All blocks affect each other through the softmax, so that links alone do not tell their units apart."""

    class Inner(Space):
        inner: Literal[7, 5]

    class Mixed(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.embed, self.gate = nn.Embedding(31, 8), nn.Linear(8, groups)
            self.up, self.down = nn.Linear(8, groups * inner), nn.Linear(groups * inner, 8)

        def forward(self, ids):
            x = self.embed(ids)
            blocks = self.up(x).relu().unflatten(-1, (groups, -1)) * self.gate(x).softmax(-1)[..., None]
            return x + self.down(blocks.flatten(-2))

    model = elastify(Mixed, Inner, example=torch.randint(0, 31, (2, 8)))
    full, small = model.network.up.weight, bind(model, Inner(inner=5)).up.weight
    assert torch.equal(small, full.unflatten(0, (groups, 7))[:, :5].flatten(0, 1))


def test_an_output_that_is_a_dataclass():
    @dataclass
    class Output:
        scores: torch.Tensor

    class Wrapped(Model):
        def forward(self, ids):
            return Output(super().forward(ids))

    model = elastify(Wrapped, Hidden)
    assert torch.equal(bind(model, Hidden(hidden=16)).mix.q.weight, model.network.mix.q.weight[HEADS][:, :16])


def test_layers_with_other_numbers_of_heads():
    """Their tensors have the same names and shapes, but not the same layout."""

    class Two(nn.Module):
        def __init__(self, hidden):
            super().__init__()
            self.items, self.head = nn.Embedding(20, hidden), nn.Linear(hidden, 3)
            self.layers = nn.ModuleList([Attention(hidden, 4), Attention(hidden, 2)])

        def forward(self, ids):
            x = self.items(ids)
            for layer in self.layers:
                x = x + layer(x)
            return self.head(x)

    model = elastify(Two, Hidden)
    for number, heads in enumerate((4, 2)):
        full, small = model.network.layers[number].q, bind(model, Hidden(hidden=16)).layers[number].q
        rows = torch.arange(32).view(heads, -1)[:, : 16 // heads].flatten()
        assert torch.equal(small.weight, full.weight[rows][:, :16])
