"""What a dead unit holds, NaN, inf or what overflows, reaches neither an output nor a gradient."""

import itertools
from typing import Literal

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.axes import Axis, Product, Sum


class Sizes(Space):
    hidden: Literal[6, 4]
    inner: Literal[5, 2]
    heads: Literal[4, 2]
    depth: Literal[2, 1]
    kind: Literal["flat", "deep"]


SMALL = Sizes(hidden=4, inner=2, heads=2, depth=1, kind="flat")
ACTIVE = {"hidden": 4, "inner": 2, "heads": 2, "heads//2": 1}


class Scale(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.scale = enn.Parameter(sizes.hidden)

    def forward(self, x):
        return x * enn.align(self.scale, x)


class Scores(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.table = enn.Embedding(sizes.inner, sizes.hidden)

    def forward(self, x):
        return self.table.scores(x)


class Lookup(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.table = enn.Embedding(sizes.inner, sizes.hidden)

    def forward(self, x):
        return self.table(torch.tensor([[0, 1, 0], [1, 1, 0]])) + 0 * x


class Pools(nn.Module):
    """Softmax and mean of what a layer without a mask of its own would make."""

    def __init__(self, sizes):
        super().__init__()
        self.layer, self.hidden = enn.Linear(sizes.hidden, sizes.hidden), sizes.hidden

    def forward(self, x):
        x = self.layer(x)
        return enn.softmax(x, self.hidden) * enn.mean(x, self.hidden, keepdim=True)


BUILDS = {
    "linear": lambda s: enn.Linear(s.hidden, s.inner),
    "sum": lambda s: enn.Linear(s.hidden, s.inner + s.heads * s.hidden),
    "scale": Scale,
    "lookup": Lookup,
    "scores": Scores,
    "layer norm": lambda s: enn.LayerNorm(s.hidden),
    "rms norm": lambda s: enn.RMSNorm(s.hidden),
    "softmax attention": lambda s: enn.Attention(s.hidden, s.heads, s.inner),
    "causal, grouped": lambda s: enn.Attention(s.hidden, s.heads, s.inner, causal=True, kv_heads=2),
    "key heads": lambda s: enn.Attention(s.hidden, 12, s.inner, causal=True, kv_heads=s.heads),
    "key heads, linrec": lambda s: enn.Attention(s.hidden, 12, s.inner, kind="linrec", kv_heads=s.heads),
    "linrec": lambda s: enn.Attention(s.hidden, s.heads, s.inner, kind="linrec"),
    "linrec, causal": lambda s: enn.Attention(s.hidden, s.heads, s.inner, kind="linrec", causal=True),
    "linrec by token": lambda s: enn.Attention(s.hidden, s.heads, s.inner, kind="linrec", key_norm="token"),
    "pointwise": lambda s: enn.PointwiseAttention(s.hidden, s.heads, s.inner, 4),
    "feed forward": lambda s: enn.FeedForward(s.hidden, s.inner),
    "gated": lambda s: enn.FeedForward(s.hidden, s.inner, gated=True, activation="sigmoid"),
    "gate": lambda s: enn.DataAwareGate(s.hidden, s.hidden, rank=s.inner),
    "pools": Pools,
    "stack": lambda s: enn.Stack([enn.FeedForward(s.hidden, s.inner) for _ in range(2)], s.depth),
    "branches": lambda s: enn.Mixture(
        {"flat": enn.Linear(s.hidden, s.hidden), "deep": enn.FeedForward(s.hidden, s.inner)}, s.kind
    ),
}


def alive(size):
    """Which units of a size are active at SMALL, by going through all of them."""
    if isinstance(size, Sum):
        return [unit for term in size.terms for unit in alive(term)]
    if isinstance(size, Product):
        return [all(units) for units in itertools.product(*map(alive, size.factors))]
    if isinstance(size, Axis):
        return [unit < ACTIVE[size.name] for unit in range(max(size.options))]
    return [True] * size


def masks(module):
    """Every weight of full size, and where it is active."""
    found = {}
    for path, part in module.named_modules():
        sizes = part.tensor_sizes() if isinstance(part, enn.ElasticModule) else {}
        for name, tensor in part._parameters.items():
            if tensor is None:
                continue
            active = torch.ones(tensor.shape, dtype=torch.bool)
            for dim, size in enumerate(sizes.get(name, tensor.shape)):
                shape = [1] * tensor.ndim
                shape[dim] = -1
                active = active & torch.tensor(alive(size)).reshape(shape)
            found[f"{path}.{name}".lstrip(".")] = active
    return found


def made(name, held, dtype=torch.float64):
    """A supernet with ``held`` in its dead units, and the plain network of SMALL with the weights that are alive."""
    axes = Sizes.axes()
    generator = torch.Generator().manual_seed(1)
    module, plain = BUILDS[name](axes).eval(), BUILDS[name](SMALL).eval()
    targets, active = dict(plain.named_parameters()), masks(module)
    for path, weight in module.named_parameters():
        weight.data = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        target = targets.pop(path if path in targets else path.removesuffix(".weight"), None)
        if target is not None:  # None for a layer that SMALL does not have
            target.data = weight.data[active[path]].reshape(target.shape).to(dtype)
        weight.data[~active[path]] = held
        weight.data = weight.data.to(dtype)
    assert not targets
    return axes, module, plain, active


def soft(axes, per_sample, learned):
    options, chosen = axes.space.choices(), axes.space.indices(SMALL)
    given = {}
    for name, index in chosen.items():
        row = torch.zeros(len(options[name]), dtype=torch.float64)
        row[index] = 1
        given[name] = (torch.stack([row, row]) if per_sample else row).requires_grad_(learned)
    return axes.relaxed(given)


SHARED = {
    "mask": lambda axes: axes.masked(SMALL),
    "one-hot": lambda axes: soft(axes, False, False),
    "one-hot that learns": lambda axes: soft(axes, False, True),
}
PER_SAMPLE = {
    "per sample": lambda axes: axes.masked([SMALL, SMALL]),
    "one-hot per sample": lambda axes: soft(axes, True, False),
    "one-hot per sample that learns": lambda axes: soft(axes, True, True),
}


def compare(name, held, scope, dtype=torch.float64, scale=1.0, **tolerance):
    axes, module, plain, active = made(name, held, dtype)
    # the rank of the gate and the rows of a table have no place in the input
    x = scale * torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)
    small = x.clone().requires_grad_()
    wide = torch.zeros(2, 3, 6, dtype=dtype)
    wide[..., :4] = x
    wide.requires_grad_()
    right = plain(small)
    with scope(axes):
        found = module(wide)
    assert found.isfinite().all()
    width = right.shape[-1]
    at = (
        alive(axes.inner + axes.heads * axes.hidden)
        if name == "sum"
        else [unit < width for unit in range(found.shape[-1])]
    )
    torch.testing.assert_close(found[..., torch.tensor(at)], right, **tolerance)
    assert not found[..., ~torch.tensor(at)].any()
    right.sum().backward()
    found.sum().backward()
    torch.testing.assert_close(wide.grad[..., :4], small.grad, **tolerance)
    for path, weight in module.named_parameters():
        if weight.grad is not None:
            assert weight.grad.isfinite().all(), path
            assert not weight.grad[~active[path]].any(), path
    targets = dict(plain.named_parameters())
    for path, weight in module.named_parameters():
        target = targets.get(path, targets.get(path.removesuffix(".weight")))
        if target is not None and target.grad is not None:
            torch.testing.assert_close(weight.grad[active[path]].reshape(target.shape), target.grad, **tolerance)


VALUES = [torch.nan, -torch.inf]


@pytest.mark.parametrize("held", VALUES, ids=str)
@pytest.mark.parametrize("scope", SHARED)
@pytest.mark.parametrize("name", BUILDS)
def test_weights_of_dead_units(name, scope, held):
    compare(name, held, SHARED[scope])


@pytest.mark.parametrize("scope", PER_SAMPLE)
@pytest.mark.parametrize("name", BUILDS)
def test_weights_of_units_that_no_sample_has(name, scope):
    compare(name, torch.nan, PER_SAMPLE[scope])


@pytest.mark.parametrize("scope", [*SHARED, *PER_SAMPLE])
@pytest.mark.parametrize("name", BUILDS)
def test_large_weights_of_dead_units_are_no_trouble(name, scope):
    """Finite: they may be multiplied by 0."""
    compare(name, 1e150, {**SHARED, **PER_SAMPLE}[scope])


@pytest.mark.parametrize("scope", ["mask", "per sample", "one-hot"])
@pytest.mark.parametrize("name", ["linear", "feed forward", "gated", "gate", "layer norm", "pools", "scores", "stack"])
def test_dead_units_overflow_in_float16(name, scope):
    """60000 times what arrives is inf there."""
    compare(name, 60000.0, {**SHARED, **PER_SAMPLE}[scope], torch.float16, 2.0, rtol=3e-2, atol=3e-2)


def filled(shape, held):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    x[..., 4:] = held
    return x


CONSUMERS = {
    "linear": lambda a: enn.Linear(a.hidden, 3),
    "layer norm": lambda a: enn.LayerNorm(a.hidden),
    "rms norm": lambda a: enn.RMSNorm(a.hidden),
    "scores": lambda a: enn.Embedding(5, a.hidden).scores,
    "softmax": lambda a: lambda x: enn.softmax(x, a.hidden),
    "mean": lambda a: lambda x: enn.mean(x, a.hidden),
    "attention": lambda a: enn.Attention(a.hidden, 2, 2),
    "feed forward": lambda a: enn.FeedForward(a.hidden, 3),
}


@pytest.mark.parametrize("held", [torch.nan, torch.inf, 7.0], ids=str)
@pytest.mark.parametrize("scope", [*SHARED, *PER_SAMPLE])
@pytest.mark.parametrize("name", CONSUMERS)
def test_activations_of_dead_units(name, scope, held):
    """A part of one's own may leave anything there: what reads it takes the active units only."""
    outs = []
    for value in (0.0, held):
        axes = Sizes.axes()
        torch.manual_seed(0)
        part = CONSUMERS[name](axes)
        if isinstance(part, nn.Module):
            part.double()
        elif name == "scores":
            part.__self__.double()
        x = filled((2, 3, 6), value).requires_grad_()
        with {**SHARED, **PER_SAMPLE}[scope](axes):
            out = part(x)
        out.sum().backward()
        outs.append((out.detach(), x.grad))
    torch.testing.assert_close(outs[1][0], outs[0][0])
    torch.testing.assert_close(outs[1][1], outs[0][1])
    assert not outs[1][1][..., 4:].any()


def test_dead_layers_and_candidates_may_hold_nan():
    for name in ("stack", "branches"):
        axes, module, plain, _ = made(name, 0.0)
        gone = module.layers[1] if name == "stack" else module.candidates["deep"]
        for weight in gone.parameters():
            weight.data.fill_(torch.nan)
        x = torch.randn(2, 3, 4, dtype=torch.float64)
        wide = nn.functional.pad(x, (0, 2))
        for scope in (*SHARED.values(), *PER_SAMPLE.values()):
            module.zero_grad()
            with scope(axes):
                out = module(wide)
            torch.testing.assert_close(out[..., :4], plain(x))
            if scope in (SHARED["mask"], SHARED["one-hot"], PER_SAMPLE["per sample"]):
                out.sum().backward()
                kept = [p.grad for n, p in module.named_parameters() if not any(p is q for q in gone.parameters())]
                assert all(grad.isfinite().all() for grad in kept)
