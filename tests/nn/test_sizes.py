"""Every place that takes a size takes products and sums of axes, or refuses them when the module is made."""

import itertools
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.axes import expected, select
from elasticnas.errors import AxisError


class Sizes(Space):
    hidden: Literal[6, 4, 3]
    half: Literal[3, 2, 1]
    inner: Literal[4, 2, 0]
    back: Literal[2, 1, -1]
    word: Literal["yes", "no"]
    flag: bool


FULL = {"hidden": 6, "half": 3, "inner": 4}
ARCHS = [
    Sizes(hidden=hidden, half=half, inner=inner, back=1, word="yes", flag=True)
    for hidden, half, inner in ((6, 3, 4), (4, 1, 2), (3, 2, 4), (4, 2, 0))
]
# a size is written as a list of terms, each a list of factors, each a number or a name
FORMS = {
    "axis": [["hidden"]],
    "number times axis": [[2, "half"]],
    "axis times number": [["half", 2]],
    "axis times axis": [["half", "hidden"]],
    "axis times itself": [["half", "half"]],
    "three factors": [[2, "half", "hidden"]],
    "sum": [["hidden"], ["half"]],
    "sum with a number": [[2], ["hidden"], [3]],
    "sum with itself": [["half"], ["half"]],
    "sum of products": [["half", 2], ["hidden"], [2, "half"]],
}


def size_of(axes, form):
    """The same, of axes."""
    terms = []
    for factors in FORMS[form]:
        product = 1
        parts = [part if isinstance(part, int) else getattr(axes, part) for part in factors]
        for part in parts:
            product = part if isinstance(product, int) and product == 1 else product * part
        terms.append(product)
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def full(form):
    return units(form, ARCHS[0])[1]


def units(form, arch):
    """Places of the active units in the full size, by going through all of them, and the full size."""
    places, offset = [], 0
    for factors in FORMS[form] if isinstance(form, str) else form:
        whole = [part if isinstance(part, int) else FULL[part] for part in factors]
        active = [part if isinstance(part, int) else getattr(arch, part) for part in factors]
        for number, place in enumerate(itertools.product(*map(range, whole))):
            if all(at < limit for at, limit in zip(place, active, strict=True)):
                places.append(offset + number)
        offset += len(list(itertools.product(*map(range, whole))))
    return places, offset


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ready(module):
    for seed, weight in enumerate(module.parameters()):
        weight.data = normal(*weight.shape, seed=seed)
    nn.Module.double(module)  # a parameter's own double() gives a tensor
    return module.eval()


def one_hot(axes, arch):
    options = axes.space.choices()
    chosen = axes.space.indices(arch)
    return {name: F.one_hot(torch.tensor(chosen[name]), len(options[name])).double() for name in options}


def follows(axes, module, inputs, outputs, by_hand):
    """In every scope the module computes what is written out for the active units, and 0 elsewhere.

    ``inputs`` and ``outputs`` give the active places in the last dimension and its full size, ``by_hand(arch, x)`` the
    output of an architecture.
    """
    samples, rights = [], []
    for number, arch in enumerate(ARCHS):
        (places, width), (out, out_width) = inputs(arch), outputs(arch)
        x = normal(2, 3, len(places), seed=10 + number)
        wide = torch.zeros(2, 3, width, dtype=torch.float64)
        wide[..., places] = x
        right = torch.zeros(2, 3, out_width, dtype=torch.float64)
        right[..., out] = by_hand(arch, x)
        with axes.at(arch):
            torch.testing.assert_close(module(x), right[..., out])
        for scope in (axes.masked(arch), axes.masked([arch] * 2), axes.relaxed(one_hot(axes, arch))):
            with scope:
                found = module(wide)
            torch.testing.assert_close(found, right)
        samples.append(wide[:1])
        rights.append(right[:1])
    with axes.masked(ARCHS):
        torch.testing.assert_close(module(torch.cat(samples)), torch.cat(rights))


def of(form):
    return lambda arch: units(form, arch)


def fixed(count):
    return lambda arch: (list(range(count)), count)


def cut(layer, outputs, inputs, x):
    return F.linear(x, layer.weight[outputs][:, inputs], layer.bias[outputs])


@pytest.mark.parametrize("form", FORMS)
def test_linear_inputs_and_outputs(form):
    axes = Sizes.axes()
    size = size_of(axes, form)
    reads, writes = ready(enn.Linear(size, 2)), ready(enn.Linear(2, size))
    follows(axes, reads, of(form), fixed(2), lambda arch, x: cut(reads, [0, 1], units(form, arch)[0], x))
    follows(axes, writes, fixed(2), of(form), lambda arch, x: cut(writes, units(form, arch)[0], [0, 1], x))


@pytest.mark.parametrize("form", FORMS)
def test_norms(form):
    axes = Sizes.axes()
    size = size_of(axes, form)
    layer, rms = ready(enn.LayerNorm(size)), ready(enn.RMSNorm(size))

    def layer_norm(arch, x):
        at = units(form, arch)[0]
        return F.layer_norm(x, x.shape[-1:], layer.weight[at], layer.bias[at])

    follows(axes, layer, of(form), of(form), layer_norm)
    follows(
        axes, rms, of(form), of(form), lambda arch, x: F.rms_norm(x, x.shape[-1:], rms.weight[units(form, arch)[0]])
    )


@pytest.mark.parametrize("form", FORMS)
def test_parameters(form):
    axes = Sizes.axes()
    scale, table = (ready(enn.Parameter(*sizes, size_of(axes, form))) for sizes in ((), (3,)))

    class Uses(nn.Module):
        def forward(self, x):
            return x * enn.align(scale, x) + enn.align(table, x)

    follows(
        axes,
        Uses(),
        of(form),
        of(form),
        lambda arch, x: x * scale.weight[units(form, arch)[0]] + table.weight[:, units(form, arch)[0]],
    )


@pytest.mark.parametrize("form", FORMS)
def test_reductions(form):
    axes = Sizes.axes()
    size = size_of(axes, form)
    follows(axes, lambda x: enn.softmax(x, size), of(form), of(form), lambda arch, x: x.softmax(-1))
    follows(axes, lambda x: enn.mean(x, size, keepdim=True), of(form), fixed(1), lambda arch, x: x.mean(-1, True))
    for arch in ARCHS:
        at = units(form, arch)[0]
        x = normal(2, full(form), 3)
        with axes.masked([arch, arch]):
            torch.testing.assert_close(enn.softmax(x, size, 1)[:, at], x[:, at].softmax(1))
            dead = torch.zeros_like(x)
            dead[:, at] = x[:, at]
            torch.testing.assert_close(enn.mean(dead, size, -2), x[:, at].mean(1))


@pytest.mark.parametrize("power", [-1.0, -0.5, 2.0])
@pytest.mark.parametrize("form", FORMS)
def test_expected_powers(form, power):
    axes = Sizes.axes()
    size, like = size_of(axes, form), normal(4, 1)
    counts = [float(len(units(form, arch)[0])) for arch in ARCHS]
    for arch, count in zip(ARCHS, counts, strict=True):
        with axes.at(arch):
            assert expected(size, power, like) == pytest.approx(count**power)
        with axes.masked(arch):
            assert expected(size, power, like).item() == pytest.approx(count**power)
    with axes.masked(ARCHS):
        assert expected(size, power, like).flatten().tolist() == pytest.approx([count**power for count in counts])
    # softly: the mean over all combinations of options, each with the number of units it has
    p = {"hidden": [0.5, 0.2, 0.3], "half": [0.1, 0.6, 0.3]}
    mean = 0.0
    for (i, hidden), (j, half) in itertools.product(enumerate((6, 4, 3)), enumerate((3, 2, 1))):
        arch = ARCHS[0].model_copy(update={"hidden": hidden, "half": half})
        mean += p["hidden"][i] * p["half"][j] * len(units(form, arch)[0]) ** power
    with axes.relaxed({name: torch.tensor(value, dtype=torch.float64) for name, value in p.items()}):
        assert expected(size, power, like).item() == pytest.approx(mean)


@pytest.mark.parametrize("second", FORMS)
@pytest.mark.parametrize("first", FORMS)
def test_select(first, second):
    axes = Sizes.axes()
    table = normal(full(first), 2, full(second))
    for arch in ARCHS:
        with axes.at(arch):
            found = select(table, [size_of(axes, first), 2, size_of(axes, second)])
        torch.testing.assert_close(found, table[units(first, arch)[0]][:, :, units(second, arch)[0]])


@pytest.mark.parametrize("form", FORMS)
def test_widths_of_an_embedding_and_its_scores(form):
    axes = Sizes.axes()
    wide = ready(enn.Embedding(5, size_of(axes, form)))
    ids = torch.tensor([[0, 4, 2], [1, 1, 3]])
    for arch in ARCHS:
        at, count = units(form, arch)
        with axes.at(arch):
            torch.testing.assert_close(wide(ids), wide.weight[:, at][ids])
        for scope in (axes.masked(arch), axes.masked([arch, arch]), axes.relaxed(one_hot(axes, arch))):
            right = torch.zeros(2, 3, count, dtype=torch.float64)
            right[..., at] = wide.weight[:, at][ids]
            with scope:
                torch.testing.assert_close(wide(ids), right)
    follows(axes, wide.scores, of(form), fixed(5), lambda arch, x: F.linear(x, wide.weight[:, units(form, arch)[0]]))


COMPOSITE_ROWS = {
    "number times axis",
    "axis times axis",
    "axis times itself",
    "three factors",
    "sum",
    "sum with itself",
}
COMPOSITE_ROWS |= {"sum with a number", "sum of products"}


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_an_embedding(form):
    """An id must be the same row, masked and sliced; else such a table is refused when it is made."""
    axes = Sizes.axes()
    if form in COMPOSITE_ROWS:
        with pytest.raises(AxisError, match="has active rows in several places"):
            enn.Embedding(size_of(axes, form), 4)
        return
    table = ready(enn.Embedding(size_of(axes, form), 4))
    for arch in ARCHS:
        ids = torch.arange(len(units(form, arch)[0]))[None]
        with axes.at(arch):
            sliced = table(ids)
        with axes.masked(arch):
            torch.testing.assert_close(table(ids), sliced)


def unit(x, dim):
    return x / (x.square().sum(dim, keepdim=True) + 1e-12).sqrt()


def attention_by_hand(part, x, heads, head_dim, rows, read, kind, causal, key_norm):
    """Attention of the paper's formulas, on rows and columns that are listed."""
    q, k, v = (cut(layer, rows, read, x) for layer in (part.query, part.key, part.value))
    q, k, v = (each.unflatten(-1, (heads, head_dim)).transpose(1, 2) for each in (q, k, v))
    if kind == "softmax":
        scores = q @ k.transpose(-1, -2) * head_dim**-0.5
        if causal:
            scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -torch.inf)
        out = scores.softmax(-1) @ v
    else:
        q, k = unit(F.elu(q), -1), F.elu(k)
        scale = 1 / head_dim if key_norm == "column" else head_dim**-0.5
        outs = []
        for position in range(x.shape[1]):
            last = position + 1 if causal else x.shape[1]
            keys = unit(k[..., :last, :], -2 if key_norm == "column" else -1)
            outs.append(scale * q[..., position : position + 1, :] @ (keys.transpose(-1, -2) @ v[..., :last, :]))
        out = torch.cat(outs, -2)
    return cut(part.out, read, rows, out.transpose(1, 2).flatten(2))


KINDS = [
    ("softmax", False, "column"),
    ("softmax", True, "column"),
    ("linrec", False, "column"),
    ("linrec", True, "column"),
    ("linrec", False, "token"),
    ("linrec", True, "token"),
]
HEADS = [
    (2, [2, "half"]),
    (2, ["half", 2]),
    (2, ["half", "half"]),
    ("half", ["half", 2]),
    ("half", [2, "hidden"]),
    ([2, "half"], [3]),
    ([2, "half"], ["half", 2]),
    (["half", "half"], ["half"]),
]


def product(axes, factors):
    parts = [part if isinstance(part, int) else getattr(axes, part) for part in factors]
    made = parts[0]
    for part in parts[1:]:
        made = made * part
    return made


def as_list(factors):
    return factors if isinstance(factors, list) else [factors]


@pytest.mark.parametrize(("kind", "causal", "key_norm"), KINDS)
@pytest.mark.parametrize(("heads", "head_dim"), HEADS, ids=str)
def test_attention_heads_and_head_dim(heads, head_dim, kind, causal, key_norm):
    axes = Sizes.axes()
    heads = as_list(heads)
    part = ready(
        enn.Attention(6, product(axes, heads), product(axes, head_dim), kind=kind, causal=causal, key_norm=key_norm)
    )

    def by_hand(arch, x):
        h, k, rows = (len(units([each], arch)[0]) for each in (heads, head_dim, [*heads, *head_dim]))
        assert rows == h * k
        return attention_by_hand(
            part, x, h, k, units([[*heads, *head_dim]], arch)[0], list(range(6)), kind, causal, key_norm
        )

    follows(axes, part, fixed(6), fixed(6), by_hand)


@pytest.mark.parametrize(("kind", "causal", "key_norm"), KINDS[::2])
@pytest.mark.parametrize("form", ["axis times axis", "sum", "sum of products", "number times axis"])
def test_attention_over_a_composite_width(form, kind, causal, key_norm):
    axes = Sizes.axes()
    part = ready(enn.Attention(size_of(axes, form), 2, 3, kind=kind, causal=causal, key_norm=key_norm))

    def by_hand(arch, x):
        return attention_by_hand(part, x, 2, 3, list(range(6)), units(form, arch)[0], kind, causal, key_norm)

    follows(axes, part, of(form), of(form), by_hand)


def test_queries_per_key_of_composite_heads_are_refused():
    axes = Sizes.axes()
    for heads, kv_heads in ((2 * axes.half, 2), (6, 2 * axes.half), (2 * axes.half, axes.half), (axes.half + 1, 2)):
        with pytest.raises(AxisError, match="is not a multiple of kv_heads="):
            enn.Attention(axes.hidden, heads, 3, kv_heads=kv_heads)


@pytest.mark.parametrize("build", [enn.Attention, lambda *sizes: enn.PointwiseAttention(*sizes, 5)])
def test_sums_of_heads_are_refused(build):
    axes = Sizes.axes()
    for heads, head_dim in ((axes.half + 1, 2), (2, axes.half + 1), (axes.half + axes.half, axes.half)):
        with pytest.raises(AxisError, match=r"a sum of sizes cannot be a factor; multiply its terms|cannot multiply"):
            build(axes.hidden, heads, head_dim)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("heads", "head_dim"), [(2, [2, "half"]), (["half", 2], ["half"])], ids=str)
def test_pointwise_attention(form, heads, head_dim):
    axes = Sizes.axes()
    heads = as_list(heads)
    part = ready(enn.PointwiseAttention(size_of(axes, form), product(axes, heads), product(axes, head_dim), 4))

    def by_hand(arch, x):
        read, rows = units(form, arch)[0], units([[*heads, *head_dim]], arch)[0]
        q, k, v, g = (F.silu(cut(layer, rows, read, x)) for layer in (part.query, part.key, part.value, part.gate))
        q, k, v = (each.unflatten(-1, (len(units([heads], arch)[0]), -1)).transpose(1, 2) for each in (q, k, v))
        distance = torch.arange(3)[:, None] - torch.arange(3) + 3
        out = (F.silu(q @ k.transpose(-1, -2) + part.distances[distance]) @ v / 3).transpose(1, 2).flatten(2)
        normed = F.layer_norm(out, out.shape[-1:], part.norm.weight[rows], part.norm.bias[rows], 1e-6)
        return cut(part.out, read, rows, g * normed)

    follows(axes, part, of(form), of(form), by_hand)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(
    ("hidden", "inner"),
    [
        ("axis times axis", "sum"),
        ("sum of products", "axis times itself"),
        ("sum", "number times axis"),
        ("axis", "sum with a number"),
    ],
)
def test_feed_forward(hidden, inner, gated):
    axes = Sizes.axes()
    part = ready(enn.FeedForward(size_of(axes, hidden), size_of(axes, inner), gated=gated, activation="silu"))

    def by_hand(arch, x):
        d, at = units(hidden, arch)[0], units(inner, arch)[0]
        up = cut(part.up, at, d, x)
        return cut(part.down, d, at, F.silu(cut(part.gate, at, d, x)) * up if gated else F.silu(up))

    follows(axes, part, of(hidden), of(hidden), by_hand)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("inputs", "outputs", "rank"),
    [("axis", "sum", "axis times axis"), ("sum of products", "number times axis", None), ("sum", "sum", "sum")],
)
def test_data_aware_gate(inputs, outputs, rank, layers):
    axes = Sizes.axes()
    between = None if rank is None else size_of(axes, rank)
    part = ready(enn.DataAwareGate(size_of(axes, inputs), size_of(axes, outputs), layers=layers, rank=between))

    def by_hand(arch, x):
        read, write = units(inputs, arch)[0], units(outputs, arch)[0]
        if layers == 2:
            at = write if rank is None else units(rank, arch)[0]
            x, read = torch.relu(cut(part.cross, at, read, x)), at
        return 2 * torch.sigmoid(cut(part.perceive, write, read, x))

    follows(axes, part, of(inputs), of(outputs), by_hand)


# ---- options of 0


@pytest.mark.parametrize(
    "build",
    [
        lambda a: enn.FeedForward(6, a.inner),
        lambda a: enn.FeedForward(6, a.inner, gated=True, activation="sigmoid"),
        lambda a: enn.FeedForward(6, a.inner * a.half),
    ],
)
def test_no_inner_unit_leaves_the_bias(build):
    axes = Sizes.axes()
    part, x = ready(build(axes)), normal(3, 5, 6)
    for scope in (axes.at(ARCHS[3]), axes.masked(ARCHS[3]), axes.masked([ARCHS[3]] * 3)):
        part.zero_grad()
        with scope:
            out = part(x)
        torch.testing.assert_close(out, part.down.bias.expand(3, 5, 6))
        out.sum().backward()
        assert all(p.grad is None or not p.grad.any() for n, p in part.named_parameters() if n != "down.bias")


def test_no_rank_leaves_a_gate_of_the_bias():
    axes = Sizes.axes()
    part = ready(enn.DataAwareGate(6, 6, rank=axes.inner))
    for scope in (axes.at(ARCHS[3]), axes.masked(ARCHS[3]), axes.masked([ARCHS[3]] * 3)):
        with scope:
            torch.testing.assert_close(part(normal(3, 6)), (2 * part.perceive.bias.sigmoid()).expand(3, 6))


@pytest.mark.parametrize("build", [enn.LayerNorm, enn.RMSNorm])
def test_norms_of_no_unit_are_zero_and_have_finite_gradients(build):
    axes = Sizes.axes()
    part = ready(build(axes.inner))
    with axes.at(ARCHS[3]):
        assert part(normal(3, 0)).shape == (3, 0)
    for scope in (axes.masked(ARCHS[3]), axes.masked([ARCHS[3]] * 3), axes.masked([ARCHS[3], *ARCHS[:2]])):
        part.zero_grad()
        x = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
        with scope:
            out = part(x)
        assert not out[0].any()
        out.sum().backward()
        assert x.grad.isfinite().all() and all(p.grad.isfinite().all() for p in part.parameters())
        assert not x.grad[0].any()


def test_layers_and_tables_without_units():
    axes = Sizes.axes()
    reads, writes = ready(enn.Linear(axes.inner, 3)), ready(enn.Linear(3, axes.inner))
    table, scale = ready(enn.Embedding(5, axes.inner)), ready(enn.Parameter(axes.inner))
    with axes.at(ARCHS[3]):
        torch.testing.assert_close(reads(normal(2, 0)), reads.bias.expand(2, 3))
        assert writes(normal(2, 3)).shape == table(torch.tensor([1, 2])).shape == (2, 0) and len(scale) == 0
        assert enn.softmax(normal(2, 0), axes.inner).shape == (2, 0)
    for scope in (axes.masked(ARCHS[3]), axes.masked([ARCHS[3]] * 2)):
        with scope:
            torch.testing.assert_close(reads(normal(2, 4)), reads.bias.expand(2, 3))
            for out in (writes(normal(2, 3)), table(torch.tensor([1, 2])), enn.softmax(normal(2, 4), axes.inner)):
                assert out.shape == (2, 4) and not out.any()
            assert not (normal(2, 4) * enn.align(scale, normal(2, 4))).any()


@pytest.mark.parametrize("name", ["hidden", "heads", "head_dim", "kv_heads"])
def test_attention_without_units_is_refused(name):
    axes = Sizes.axes()
    sizes = {"hidden": 6, "heads": 4, "head_dim": 3, name: axes.inner}
    message = rf"Attention: {name}=Axis\(inner: 0, 2, 4\) has the option 0, but at least 1 is needed"
    with pytest.raises(AxisError, match=message):
        enn.Attention(**sizes)
    with pytest.raises(AxisError, match=f"{name}=.* has the option 0"):
        enn.Attention(**{**sizes, name: axes.inner * 2})
    if name != "kv_heads":
        with pytest.raises(AxisError, match=f"Pointwise.* {name}=.* has the option 0"):
            enn.PointwiseAttention(**sizes, length=5)


# ---- what is no size


PLACES = {
    "Linear inputs": lambda size: enn.Linear(size, 3),
    "Linear outputs": lambda size: enn.Linear(3, size),
    "Embedding count": lambda size: enn.Embedding(size, 3),
    "Embedding hidden": lambda size: enn.Embedding(3, size),
    "LayerNorm": enn.LayerNorm,
    "RMSNorm": enn.RMSNorm,
    "Parameter": lambda size: enn.Parameter(3, size),
    "Attention hidden": lambda size: enn.Attention(size, 2, 2),
    "Attention heads": lambda size: enn.Attention(4, size, 2),
    "Attention head_dim": lambda size: enn.Attention(4, 2, size),
    "Attention kv_heads": lambda size: enn.Attention(4, 2, 2, kv_heads=size),
    "PointwiseAttention hidden": lambda size: enn.PointwiseAttention(size, 2, 2, 5),
    "PointwiseAttention heads": lambda size: enn.PointwiseAttention(4, size, 2, 5),
    "PointwiseAttention head_dim": lambda size: enn.PointwiseAttention(4, 2, size, 5),
    "FeedForward hidden": lambda size: enn.FeedForward(size, 4),
    "FeedForward inner": lambda size: enn.FeedForward(4, size),
    "Gate inputs": lambda size: enn.DataAwareGate(size, 3),
    "Gate outputs": lambda size: enn.DataAwareGate(3, size),
    "Gate rank": lambda size: enn.DataAwareGate(3, 3, rank=size),
    "Mixture inputs": lambda size: enn.Mixture({1: nn.Identity()}, 1, inputs=size),
    "Mixture outputs": lambda size: enn.Mixture({1: nn.Identity()}, 1, inputs=3, outputs=size),
}
NO_SIZES = {
    "a float": lambda a: 4.0,
    "a text": lambda a: "4",
    "a bool": lambda a: True,
    "a list": lambda a: [a.hidden],
    "a method": lambda a: a.at,
    "a tensor": lambda a: torch.tensor(4),
    "nothing": lambda a: 0,
    "below nothing": lambda a: -2,
    "an axis of words": lambda a: a.word,
    "an axis of bools": lambda a: a.flag,
    "an axis with an option below 0": lambda a: a.back,
    "a product with 0": lambda a: 0 * a.hidden,
    "a product with a number below 0": lambda a: -1 * a.hidden,
}


@pytest.mark.parametrize("value", NO_SIZES)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_size_is_refused_when_the_module_is_made(place, value):
    with pytest.raises(AxisError, match=r"is not a size|is no size|at least [01]|has the option -1|give an int from 0"):
        PLACES[place](NO_SIZES[value](Sizes.axes()))


@pytest.mark.parametrize("place", ["Linear inputs", "LayerNorm", "Parameter", "Embedding hidden"])
def test_a_number_below_0_in_a_sum_is_refused(place):
    with pytest.raises(AxisError):
        PLACES[place](Sizes.axes().hidden + -2)


# ---- depth


@pytest.mark.parametrize(
    "depth", [lambda a: a.half + 1, lambda a: 2 * a.half, lambda a: a.half * a.half, lambda a: 1.0, lambda a: None]
)
def test_composite_depths_are_refused(depth):
    with pytest.raises(AxisError, match=r"depth=.* for 9 layers: give an int, an Axis, or one bool per layer"):
        enn.Stack([nn.Identity() for _ in range(9)], depth(Sizes.axes()))


def test_a_quotient_is_a_depth():
    class Even(Space):
        width: Literal[6, 4, 2]

    axes = Even.axes()
    layers = [ready(nn.Linear(3, 3)) for _ in range(3)]
    stack, x = enn.Stack(layers, axes.width // 2), normal(2, 3)
    for arch in Even.enumerate():
        right = x
        for layer in layers[: arch.width // 2]:
            right = layer(right)
        for scope in (axes.at(arch), axes.masked(arch), axes.masked([arch, arch])):
            with scope:
                torch.testing.assert_close(stack(x), right)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda a: enn.Stack([nn.Identity()] * 2, a.back), id="depth below 0"),
        pytest.param(lambda a: enn.Stack([nn.Identity()] * 2, a.flag), id="bool as a depth"),
        pytest.param(lambda a: enn.Stack([nn.Identity()] * 2, a.word), id="word as a depth"),
        pytest.param(lambda a: enn.DepthSkip(nn.Identity(), a.hidden), id="sizes without 0 as alive"),
        pytest.param(lambda a: enn.DepthSkip(nn.Identity(), 2), id="2 as alive"),
        pytest.param(lambda a: enn.DepthSkip(nn.Identity(), a.word), id="word as alive"),
        pytest.param(lambda a: enn.DepthSkip(nn.Identity(), 2 * a.half), id="product as alive"),
        pytest.param(lambda a: enn.Stack([nn.Identity()] * 2, [a.flag, a.half]), id="size per layer"),
        pytest.param(lambda a: enn.Stack([nn.Identity()] * 2, [a.flag]), id="too few choices"),
        pytest.param(lambda a: enn.Stack([nn.Identity()] * 2, a.hidden), id="too few layers"),
    ],
)
def test_depths_that_are_none_are_refused_when_the_module_is_made(build):
    with pytest.raises(AxisError):
        build(Sizes.axes())


# ---- narrowing what is not of full size


@pytest.mark.parametrize("form", FORMS)
def test_a_tensor_of_another_size_is_refused_by_modules(form):
    axes = Sizes.axes()
    size = size_of(axes, form)
    for part in (enn.Linear(size, 2), enn.LayerNorm(size), enn.RMSNorm(size), enn.Embedding(3, size).scores):
        for scope, arch in ((axes.at(ARCHS[1]), ARCHS[1]), (axes.masked(ARCHS[1]), ARCHS[0])):
            width = len(units(form, arch)[0])
            with scope, pytest.raises(AxisError, match=f"expects {width} features for .* in this scope, but the input"):
                part(torch.randn(2, width + 1))
