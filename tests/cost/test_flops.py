"""Counted FLOPs against counts by hand, primitive by primitive."""

from typing import Literal

import pytest
import torch
from cost_models import LENGTH, Encoder, Ruled, Small, encoder, encoder_flops, ids
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.cost import Flops
from elasticnas.errors import ArchitectureError, ConfigError, InactiveChoiceError
from elasticnas.extraction import extract_unverified

B, N = 2, 70


class Sizes(Space):
    hidden: Literal[16, 8]
    inner: Literal[24, 12]


class Heads(Space):
    hidden: Literal[16, 8]
    heads: Literal[4, 2]
    head_dim: Literal[8, 4]


class Branch(Space):
    kind: Literal["wide", "narrow"]
    hidden: Literal[16, 8]


class Layers(Space):
    hidden: Literal[16, 8]
    depth: Literal[0, 1, 3]


class Skips(Space):
    hidden: Literal[16, 8]
    alive: bool


class Holder(nn.Module):
    """A raw parameter in a model: it multiplies, and costs nothing itself."""

    def __init__(self, axes):
        super().__init__()
        self.positions = enn.Parameter(N, axes.hidden)
        self.classes = enn.Parameter(axes.inner, axes.hidden)

    def forward(self, x):
        return (
            (x + self.positions) @ self.classes().T
            if isinstance(self.classes, enn.ElasticParameter)
            else ((x + self.positions) @ self.classes.T)
        )


def sequence(width):
    return lambda arch: torch.zeros(B, N, getattr(arch, width))


def dense(inputs, outputs):
    return 2 * B * N * inputs * outputs


def softmax_attention(arch, heads_of_keys=None):
    keys = (heads_of_keys or arch.heads) * arch.head_dim
    queries = arch.heads * arch.head_dim
    return 2 * dense(arch.hidden, queries) + 2 * dense(arch.hidden, keys) + 2 * 2 * B * N * N * queries


def linrec_attention(arch):
    return 4 * dense(arch.hidden, arch.heads * arch.head_dim) + 2 * dense(arch.head_dim, arch.heads * arch.head_dim)


def causal_linrec(arch):
    # 70 positions are two chunks of 35; sums and their use N k k, inside a chunk N C k, twice each
    positions, chunk = 70, 35
    inner = 2 * B * arch.heads * positions * arch.head_dim * (2 * arch.head_dim + 2 * chunk)
    return 4 * dense(arch.hidden, arch.heads * arch.head_dim) + inner


CASES = {
    "Linear": (Sizes, lambda a: enn.Linear(a.hidden, a.inner), "hidden", lambda s: dense(s.hidden, s.inner)),
    "Linear without bias, rows (3 inner)": (
        Sizes,
        lambda a: enn.Linear(a.hidden, 3 * a.inner, bias=False),
        "hidden",
        lambda s: dense(s.hidden, 3 * s.inner),
    ),
    "LayerNorm": (
        Sizes,
        lambda a: nn.Sequential(enn.LayerNorm(a.hidden), enn.Linear(a.hidden, a.inner), enn.LayerNorm(a.inner)),
        "hidden",
        lambda s: dense(s.hidden, s.inner),
    ),
    "RMSNorm": (
        Sizes,
        lambda a: nn.Sequential(enn.RMSNorm(a.hidden), enn.Linear(a.hidden, a.inner), enn.RMSNorm(a.inner)),
        "hidden",
        lambda s: dense(s.hidden, s.inner),
    ),
    "Attention softmax": (
        Heads, lambda a: enn.Attention(a.hidden, a.heads, a.head_dim), "hidden", softmax_attention
    ),
    "Attention softmax causal": (
        Heads, lambda a: enn.Attention(a.hidden, a.heads, a.head_dim, causal=True), "hidden", softmax_attention
    ),
    "Attention grouped": (
        Heads,
        lambda a: enn.Attention(a.hidden, a.heads, a.head_dim, kv_heads=2),
        "hidden",
        lambda s: softmax_attention(s, 2),
    ),
    "Attention linrec": (
        Heads, lambda a: enn.Attention(a.hidden, a.heads, a.head_dim, kind="linrec"), "hidden", linrec_attention
    ),
    "Attention linrec token": (
        Heads,
        lambda a: enn.Attention(a.hidden, a.heads, a.head_dim, kind="linrec", key_norm="token"),
        "hidden",
        linrec_attention,
    ),
    "Attention linrec causal": (
        Heads,
        lambda a: enn.Attention(a.hidden, a.heads, a.head_dim, kind="linrec", causal=True),
        "hidden",
        causal_linrec,
    ),
    "FeedForward": (
        Sizes, lambda a: enn.FeedForward(a.hidden, a.inner), "hidden", lambda s: 2 * dense(s.hidden, s.inner)
    ),
    "FeedForward gated": (
        Sizes,
        lambda a: enn.FeedForward(a.hidden, a.inner, gated=True, activation="sigmoid"),
        "hidden",
        lambda s: 3 * dense(s.hidden, s.inner),
    ),
    "DataAwareGate": (
        Sizes,
        lambda a: enn.DataAwareGate(a.hidden, a.inner),
        "hidden",
        lambda s: dense(s.hidden, s.inner) + dense(s.inner, s.inner),
    ),
    "DataAwareGate of one layer": (
        Sizes, lambda a: enn.DataAwareGate(a.hidden, a.inner, layers=1), "hidden", lambda s: dense(s.hidden, s.inner)
    ),
    "DataAwareGate of rank 4": (
        Sizes,
        lambda a: enn.DataAwareGate(a.hidden, a.inner, rank=4),
        "hidden",
        lambda s: dense(s.hidden, 4) + dense(4, s.inner),
    ),
    "DepthSkip": (
        Skips,
        lambda a: enn.DepthSkip(enn.Linear(a.hidden, a.hidden), a.alive),
        "hidden",
        lambda s: dense(s.hidden, s.hidden) * s.alive,
    ),
    "Stack": (
        Layers,
        lambda a: enn.Stack([enn.Linear(a.hidden, a.hidden) for _ in range(3)], a.depth),
        "hidden",
        lambda s: dense(s.hidden, s.hidden) * s.depth,
    ),
    "Mixture": (
        Branch,
        lambda a: enn.Mixture(
            {"wide": enn.FeedForward(a.hidden, 32), "narrow": enn.FeedForward(a.hidden, 4)}, a.kind
        ),
        "hidden",
        lambda s: 2 * dense(s.hidden, 32 if s.kind == "wide" else 4),
    ),
    "Mixture of one module": (
        Sizes,
        lambda a: nn.Sequential(
            enn.Linear(8, a.hidden), enn.Mixture(enn.FeedForward(a.hidden, a.inner), a.inner)
        ),
        None,
        lambda s: dense(8, s.hidden) + 2 * dense(s.hidden, s.inner),
    ),
    "Parameter": (Sizes, Holder, "hidden", lambda s: dense(s.hidden, s.inner)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_counts_equal_hand_counts(name):
    space, build, width, by_hand = CASES[name]
    example = sequence(width) if width else torch.zeros(B, N, 8)
    flops = Flops(build(space.axes()), example)
    counted = {arch: flops(arch) for arch in space.enumerate()}
    assert counted == {arch: by_hand(arch) for arch in space.enumerate()}
    assert len(set(counted.values())) > 1


def test_a_lookup_is_free_and_scores_are_a_dense_layer():
    axes = Sizes.axes()
    model = nn.ModuleDict({"table": enn.Embedding(40, axes.hidden), "tail": enn.Linear(axes.hidden, axes.inner)})
    example = torch.zeros(B, N, dtype=torch.long)
    looked_up = Flops(model, example, call=lambda m, x: m["table"](x))
    scored = Flops(model, example, call=lambda m, x: m["table"].scores(m["table"](x)))
    for arch in Sizes.enumerate():
        assert looked_up(arch) == 0
        assert scored(arch) == dense(arch.hidden, 40)


@pytest.mark.parametrize("causal", [False, True])
def test_padding_does_not_change_the_count_of_softmax(causal):
    axes = Heads.axes()
    model = enn.Attention(axes.hidden, axes.heads, axes.head_dim, causal=causal)
    padded = Flops(model, lambda arch: (torch.zeros(B, N, arch.hidden), torch.zeros(B, N, dtype=torch.bool)))
    named = Flops(model, lambda arch: {"x": torch.zeros(B, N, arch.hidden)})
    for arch in Heads.enumerate():
        assert padded(arch) == named(arch) == softmax_attention(arch)


@pytest.mark.parametrize("space", [Small, Ruled])
def test_encoder_by_hand(space):
    flops = Flops(encoder(space), ids())
    for arch in space.enumerate():
        assert flops(arch) == encoder_flops(arch)


def test_a_forward_that_makes_tensors_of_its_own():
    class Positions(nn.Module):
        def __init__(self, axes):
            super().__init__()
            self.table = enn.Embedding(LENGTH, axes.hidden)
            self.out = enn.Linear(axes.hidden, axes.inner)
            self.loose = torch.ones(1)  # no buffer: it has to be found all the same

        def forward(self, x):
            return self.out(self.table(torch.arange(x.shape[1])) * self.loose)

    flops = Flops(Positions(Sizes.axes()), ids())
    assert flops(Sizes(hidden=8, inner=12)) == 2 * LENGTH * 8 * 12


def test_the_model_stays_as_it_was():
    model = encoder(Small)
    model.train()
    model.layers.layers[0].eval()
    before = {name: (p, p.clone(), p.device) for name, p in model.named_parameters()}
    modes = {name: module.training for name, module in model.named_modules()}
    Flops(model, ids())(Small.smallest())
    assert modes == {name: module.training for name, module in model.named_modules()}
    for name, parameter in model.named_parameters():
        same, values, device = before[name]
        assert parameter is same and parameter.device == device and torch.equal(parameter, values)


def test_counts_inside_an_open_scope():
    axes = Small.axes()
    flops = Flops(Encoder(axes), ids())
    with axes.at(Small.smallest()):
        assert flops(Small.largest()) == encoder_flops(Small.largest())


def test_remembered_by_option_not_by_equality():
    flops = Flops(encoder(Small), ids())
    calls = []
    compute = flops.compute
    flops.compute = lambda arch: calls.append(arch) or compute(arch)
    arch = Small(hidden=8, inner=12, depth=2)
    assert flops(arch) == flops(Small(hidden=8, inner=12, depth=2))
    assert len(calls) == 1


def test_errors():
    flops = Flops(encoder(Small), ids())
    with pytest.raises(ArchitectureError, match="expected an architecture of Small, got Ruled"):
        flops(Ruled.largest())
    with pytest.raises(ConfigError, match="give an example input"):
        Flops(encoder(Small), None)(Small.largest())
    wrong = Flops(encoder(Small).layers, torch.zeros(1, LENGTH, 16))
    assert wrong(Small(hidden=16, inner=12, depth=1)) > 0
    with pytest.raises(
        ConfigError, match=r"cannot run on its example \(in layers\.0\.norm, LayerNorm: .*function of it"
    ):
        wrong(Small(hidden=8, inner=12, depth=1))
    with pytest.raises(InactiveChoiceError, match="inner has no effect"):
        Flops(enn.Linear(Sizes.axes().hidden, 4), torch.zeros(1, 16))


@pytest.mark.parametrize("name", CASES)
def test_shortcuts_count_what_the_counter_alone_counts(name):
    space, build, width, _ = CASES[name]
    model, arch = build(space.axes()), space.largest()
    x = sequence(width)(arch) if width else torch.zeros(B, N, 8)
    plain = extract_unverified(model, arch).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        plain(x.to("meta"))
    assert Flops(model, lambda _: x)(arch) == counter.get_total_flops()
