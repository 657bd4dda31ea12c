"""Mixtures: options of every name and type, options that rules forbid, mixtures in mixtures, composite widths."""

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space, extract
from elasticnas.errors import ElasticNASError


class Times(nn.Module):
    """Tells which candidate ran."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor)))

    def forward(self, x):
        return x * self.factor


def space_of(options):
    class Named(Space):
        kind: Literal[tuple(options)]

    return Named


def candidates(options, form):
    modules = [Times(2 + number) for number in range(len(options))]
    if form == "list":
        return modules
    if form == "module list":
        return nn.ModuleList(modules)
    names = map(str, options) if form == "texts" else options
    return dict(zip(names, modules, strict=True))


def in_every_scope(axes, module, arch, position, count):
    one_hot = torch.zeros(count)
    one_hot[position] = 1.0
    x = torch.ones(2, 3)
    for scope in (
        axes.at(arch),
        axes.masked(arch),
        axes.masked([arch, arch]),
        axes.relaxed({"kind": one_hot}),
        axes.relaxed({"kind": torch.stack([one_hot, one_hot])}),
    ):
        with scope:
            yield module(x)[0, 0].item()
    yield extract(module, arch, x)(x)[0, 0].item()


ODD = [
    [1, "1"],
    ["1", 1, 2, "2"],
    [True, "True"],
    ["True", "False", False],
    ["1", "'1'", '"1"', 1],
    ["None", "x"],
    ["", " ", "  "],
    ["a.b", "a_b"],
    ["a.b", "'a_b'", "a_b"],
    [".", "..", "_"],
    ["keys", "items", "values", "pop", "clear", "update", "get"],
    ["forward", "train", "eval", "to", "type", "half", "shared"],
    ["__init__", "__class__", "__dict__"],
    ["a b", "a/b", "a\nb", "é", "\\"],
    ["[1, 2]", "(1,)", "{}", "1e3", "0x1", "b'1'"],
    [-1, "-1", 0, 1],
    [3, 2, 1],
    [1, 0],
]


@pytest.mark.parametrize("form", ["mapping", "list", "module list"])
@pytest.mark.parametrize("options", ODD, ids=repr)
def test_every_option_runs_its_own_candidate(options, form):
    space = space_of(options)
    axes = space.axes()
    module = enn.Mixture(candidates(options, form), axes.kind)
    for position, option in enumerate(options):
        arch = space(kind=option)
        assert list(in_every_scope(axes, module, arch, position, len(options))) == [2 + position] * 6
        with axes.at(arch):
            assert module.chosen().factor == 2 + position
            assert {each.factor.item() for each in module.idle()} == set(range(2, 2 + len(options))) - {2 + position}


@pytest.mark.parametrize("options", ODD, ids=repr)
def test_a_mixture_of_one_option_takes_the_weights_of_the_extracted_one(options):
    space = space_of(options)
    module = enn.Mixture(candidates(options, "mapping"), space.axes().kind)
    for position, option in enumerate(options):
        alone = enn.Mixture(candidates(options, "mapping"), option)
        with torch.no_grad():
            for weight in alone.parameters():
                weight.zero_()
        alone.load_state_dict(extract(module, space(kind=option)).state_dict())
        assert alone(torch.ones(1)).item() == 2 + position


@pytest.mark.parametrize(
    "options",
    [[1, 0], [0, 2, 1], [2, 1, 0], ["a", "b"], [5, 3], [True, False]],
    ids=repr,
)
def test_a_list_and_one_option_are_the_same_candidate_or_refused(options):
    """A factory that is called with axes and with architectures alike."""
    space = space_of(options)
    axes = space.axes()
    for option in options:
        with axes.at(space(kind=option)):
            right = enn.Mixture(candidates(options, "list"), axes.kind)(torch.ones(1))
        try:
            alone = enn.Mixture(candidates(options, "list"), option)
        except ElasticNASError:
            continue
        assert torch.equal(alone(torch.ones(1)), right)


def test_texts_name_options_that_are_no_texts():
    for options in ([3, 2], [True, False], [1, -1]):
        space = space_of(options)
        axes = space.axes()
        module = enn.Mixture(candidates(options, "texts"), axes.kind)
        for position, option in enumerate(options):
            assert set(in_every_scope(axes, module, space(kind=option), position, 2)) == {2 + position}


@pytest.mark.parametrize(
    ("options", "given"), [([1, "1"], {"1": 2}), ([1, "1"], {1: 2}), ([True, "True", 2], {"True": 1, 2: 1})], ids=str
)
def test_an_option_without_a_candidate_of_its_own_is_refused(options, given):
    axes = space_of(options).axes()
    with pytest.raises(ElasticNASError, match="no candidate for the options"):
        enn.Mixture({name: Times(factor) for name, factor in given.items()}, axes.kind)


@pytest.mark.parametrize(
    "options",
    [
        [True, 1],
        [0, False],
        ["a.b_c", "a_b.c"],
        ["a.b", "'a_b'", "a_b", "'a.b'"],
        [1, True, "1", "True"],
        ["training", "x"],
        ["_modules", "_buffers"],
    ],
    ids=repr,
)
def test_options_that_cannot_be_told_apart_or_held_are_refused_in_words(options):
    """Or they work."""
    space = space_of(options)
    axes = space.axes()
    try:
        module = enn.Mixture(candidates(options, "list"), axes.kind)
        found = [
            list(in_every_scope(axes, module, space(kind=option), position, len(options)))
            for position, option in enumerate(options)
        ]
    except ElasticNASError:
        return
    assert found == [[2 + position] * 6 for position in range(len(options))]


# ---- options that a rule forbids


class Forbidden(Space):
    hidden: Literal[6, 4]
    kind: Literal["first", "never", "last"]

    @model_validator(mode="after")
    def check_kind(self):
        if self.kind == "never":
            raise ValueError("never")
        return self


class Together(Space):
    """Sizes that not every candidate may have."""

    kind: Literal["flat", "deep"]
    inner: Literal[5, 3, 2]

    @model_validator(mode="after")
    def check_inner(self):
        if self.kind == "deep" and self.inner == 5:
            raise ValueError("deep is narrow")
        return self


@pytest.mark.parametrize("form", ["mapping", "list"])
@pytest.mark.parametrize("sliced", [False, True])
def test_an_option_that_no_architecture_has(form, sliced):
    axes = Forbidden.axes()
    given = candidates(["first", "never", "last"], form)
    module = enn.Mixture(given, axes.kind, inputs=axes.hidden if sliced else None)
    model = nn.Sequential(module, enn.Linear(axes.hidden, 6))
    nn.init.eye_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    for arch, factor in ((Forbidden(hidden=4, kind="first"), 2), (Forbidden(hidden=6, kind="last"), 4)):
        x = torch.zeros(2, 6)
        x[:, : arch.hidden] = 1.0
        for scope in (axes.masked(arch), axes.masked([arch, arch])):
            with scope:
                assert torch.equal(model(x), factor * x)
        with axes.at(arch):
            assert torch.equal(model(x[:, : arch.hidden]), factor * x)
        assert torch.equal(extract(model, arch)(x[:, : arch.hidden]), factor * x)


def test_probabilities_of_a_forbidden_option_go_to_the_others():
    axes = Forbidden.axes()
    module = enn.Mixture(candidates(["first", "never", "last"], "list"), axes.kind)
    with axes.relaxed({"kind": torch.tensor([0.2, 0.5, 0.3])}):
        assert module(torch.ones(1)).item() == pytest.approx((0.2 * 2 + 0.3 * 4) / 0.5)
    rows = torch.tensor([[0.2, 0.5, 0.3], [0.0, 0.9, 0.1], [1.0, 0.0, 0.0]], requires_grad=True)
    with axes.relaxed({"kind": rows}):
        out = module(torch.ones(3))
    torch.testing.assert_close(out, torch.tensor([3.2, 4.0, 2.0]))
    out.sum().backward()
    first, last = rows[:, 0], rows[:, 2]
    by_hand = torch.autograd.grad(((2 * first + 4 * last) / (first + last)).sum(), rows)[0]
    torch.testing.assert_close(rows.grad, by_hand)


def test_all_probability_on_a_forbidden_option_is_refused():
    axes = Forbidden.axes()
    module = enn.Mixture(candidates(["first", "never", "last"], "list"), axes.kind)
    with pytest.raises(ElasticNASError), axes.relaxed({"kind": torch.tensor([0.0, 1.0, 0.0])}):
        module(torch.ones(1))


class Derived(Together):
    """The inner width once more, by a property that reads both choices."""

    @property
    def width(self) -> int:
        return self.inner + (1 if self.kind == "deep" else 0)


def test_all_probability_on_a_forbidden_combination_is_refused():
    axes = Derived.axes()
    layer = enn.Linear(3, axes.width)
    forbidden = {"kind": torch.tensor([0.0, 1.0]), "inner": torch.tensor([1.0, 0.0, 0.0])}
    with pytest.raises(ElasticNASError), axes.relaxed(forbidden):
        layer(torch.ones(2, 3))


def test_candidates_that_share_a_size_under_a_rule():
    axes = Together.axes()
    torch.manual_seed(0)
    parts = {"flat": enn.FeedForward(4, axes.inner), "deep": enn.FeedForward(4, axes.inner, gated=True)}
    module = enn.Mixture(parts, axes.kind).double()
    x = torch.randn(2, 4, dtype=torch.float64)
    for arch in Together.enumerate():
        part = parts[arch.kind]
        hidden = F.linear(x, part.up.weight[: arch.inner], part.up.bias[: arch.inner])
        if part.gate is None:
            hidden = F.gelu(hidden)
        else:
            hidden = hidden * F.gelu(F.linear(x, part.gate.weight[: arch.inner], part.gate.bias[: arch.inner]))
        right = F.linear(hidden, part.down.weight[:, : arch.inner], part.down.bias)
        for scope in (axes.at(arch), axes.masked(arch), axes.masked([arch, arch])):
            with scope:
                torch.testing.assert_close(module(x), right)
        torch.testing.assert_close(extract(module, arch)(x), right)


# ---- inside each other


class Nested(Space):
    hidden: Literal[6, 4, 3]
    inner: Literal[5, 2]
    kind: Literal["flat", "deep"]


P = {
    "hidden": torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64),
    "inner": torch.tensor([0.6, 0.4], dtype=torch.float64),
    "kind": torch.tensor([0.7, 0.3], dtype=torch.float64),
}
HIDDEN, INNER, KIND = (6, 4, 3), (5, 2), ("flat", "deep")


def feed_forward(part, x, hidden, inner):
    between = F.gelu(F.linear(x, part.up.weight[:inner, :hidden], part.up.bias[:inner]))
    return F.linear(between, part.down.weight[:hidden, :inner], part.down.bias[:hidden])


def linear(part, x, hidden):
    return F.linear(x, part.weight[:hidden, :hidden], part.bias[:hidden])


def widen(x, width=6):
    return F.pad(x, (0, width - x.shape[-1]))


def nested(axes):
    torch.manual_seed(0)
    ffn, after = enn.FeedForward(axes.hidden, axes.inner), enn.Linear(axes.hidden, axes.hidden)
    inside = enn.Mixture(ffn, axes.inner, inputs=axes.hidden, outputs=axes.hidden)
    outside = enn.Mixture(nn.Sequential(inside, after), axes.hidden, inputs=axes.hidden, outputs=axes.hidden)
    return outside.double(), ffn, after


def test_a_mixture_of_widths_inside_one_of_other_widths():
    axes = Nested.axes()
    module, ffn, after = nested(axes)
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    right = 0
    for p, hidden in zip(P["hidden"], HIDDEN, strict=True):
        given = x[..., :hidden]
        mixed = sum(q * feed_forward(ffn, given, hidden, inner) for q, inner in zip(P["inner"], INNER, strict=True))
        right = right + p * widen(linear(after, mixed, hidden))
    with axes.relaxed({"hidden": P["hidden"], "inner": P["inner"]}):
        torch.testing.assert_close(module(x), right)
    rows = {name: torch.stack([value, value.flip(0)]) for name, value in P.items() if name != "kind"}
    flipped = {name: value.flip(0) for name, value in P.items() if name != "kind"}
    with axes.relaxed(flipped):
        second = module(x)[1]
    with axes.relaxed(rows):
        torch.testing.assert_close(module(x), torch.stack([right[0], second]))


def test_gradients_of_nested_mixtures_reach_both_choices():
    axes = Nested.axes()
    module, ffn, after = nested(axes)
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    p = {name: P[name].clone().requires_grad_() for name in ("hidden", "inner")}
    with axes.relaxed(p):
        module(x).square().sum().backward()
    q = {name: P[name].clone().requires_grad_() for name in ("hidden", "inner")}
    right = 0
    for share, hidden in zip(q["hidden"], HIDDEN, strict=True):
        mixed = sum(
            each * feed_forward(ffn, x[..., :hidden], hidden, inner)
            for each, inner in zip(q["inner"], INNER, strict=True)
        )
        right = right + share * widen(linear(after, mixed, hidden))
    right.square().sum().backward()
    for name in p:
        torch.testing.assert_close(p[name].grad, q[name].grad)


def test_nested_mixtures_of_one_architecture_are_slices():
    axes = Nested.axes()
    module, ffn, after = nested(axes)
    for arch in Nested.enumerate():
        x = torch.randn(2, 3, arch.hidden, dtype=torch.float64)
        right = linear(after, feed_forward(ffn, x, arch.hidden, arch.inner), arch.hidden)
        with axes.at(arch):
            torch.testing.assert_close(module(x), right)
        for scope in (axes.masked(arch), axes.masked([arch, arch])):
            with scope:
                torch.testing.assert_close(module(widen(x)), widen(right))


def test_branches_inside_widths_inside_branches():
    axes = Nested.axes()
    torch.manual_seed(0)
    ffn, flat, other = (
        enn.FeedForward(axes.hidden, axes.inner),
        enn.Linear(axes.hidden, axes.hidden),
        enn.Linear(axes.hidden, axes.hidden),
    )
    widths = enn.Mixture(ffn, axes.inner, inputs=axes.hidden)
    branches = enn.Mixture({"flat": flat, "deep": nn.Sequential(other, widths)}, axes.kind, inputs=axes.hidden)
    module = enn.Mixture(branches, axes.hidden, inputs=axes.hidden).double()
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    right = 0
    for p, hidden in zip(P["hidden"], HIDDEN, strict=True):
        given = x[..., :hidden]
        deep = linear(other, given, hidden)
        deep = sum(q * feed_forward(ffn, deep, hidden, inner) for q, inner in zip(P["inner"], INNER, strict=True))
        right = right + p * widen(P["kind"][0] * linear(flat, given, hidden) + P["kind"][1] * deep)
    with axes.relaxed(P):
        torch.testing.assert_close(module(x), right)


def test_a_mixture_inside_a_stack_inside_a_mixture():
    class Deep(Nested):
        depth: Literal[2, 1]

    axes = Deep.axes()
    torch.manual_seed(0)
    layers = [enn.FeedForward(axes.hidden, axes.inner) for _ in range(2)]
    stack = enn.Stack([enn.Mixture(each, axes.inner, inputs=axes.hidden) for each in layers], axes.depth)
    module = enn.Mixture(stack, axes.hidden, inputs=axes.hidden).double()
    x, d = torch.randn(2, 3, 6, dtype=torch.float64), torch.tensor([0.9, 0.1], dtype=torch.float64)
    right = 0
    for p, hidden in zip(P["hidden"], HIDDEN, strict=True):
        exits, given = [], x[..., :hidden]
        for layer in layers:
            given = sum(
                q * feed_forward(layer, given, hidden, inner) for q, inner in zip(P["inner"], INNER, strict=True)
            )
            exits.append(given)
        right = right + p * widen(d[0] * exits[1] + d[1] * exits[0])
    with axes.relaxed({"hidden": P["hidden"], "inner": P["inner"], "depth": d}):
        torch.testing.assert_close(module(x), right)


# ---- composite widths


def places(*terms):
    """Places of the first units of each term, ``(full, active)``; a product is a term per outer unit."""
    found, offset = [], 0
    for whole, active in terms:
        found += range(offset, offset + active)
        offset += whole
    return found, offset


COMPOSITES = {
    "sum": (lambda a: a.hidden + 3, lambda h: places((6, h), (3, 3))),
    "sum, number first": (lambda a: 2 + a.hidden, lambda h: places((2, 2), (6, h))),
    "twice": (lambda a: 2 * a.hidden, lambda h: places((6, h), (6, h))),
    "pairs": (lambda a: a.hidden * 2, lambda h: places((12, 2 * h))),
    "sum of itself": (lambda a: a.hidden + a.hidden, lambda h: places((6, h), (6, h))),
    "products and sums": (lambda a: 2 * a.hidden + 1 + a.hidden, lambda h: places((6, h), (6, h), (1, 1), (6, h))),
    "fixed": (lambda a: 5, lambda h: places((5, 5))),
    "axis": (lambda a: a.hidden, lambda h: places((6, h))),
}


@pytest.mark.parametrize("outputs", COMPOSITES)
@pytest.mark.parametrize("inputs", COMPOSITES)
def test_composite_inputs_and_outputs(inputs, outputs):
    axes = Nested.axes()
    torch.manual_seed(0)
    (into, read), (out_of, write) = COMPOSITES[inputs], COMPOSITES[outputs]
    layer = enn.Linear(into(axes), out_of(axes))
    module = enn.Mixture(layer, axes.hidden, inputs=into(axes), outputs=out_of(axes)).double()
    x = torch.randn(2, 3, read(6)[1], dtype=torch.float64)
    right = torch.zeros(2, 3, write(6)[1], dtype=torch.float64)
    for p, hidden in zip(P["hidden"], HIDDEN, strict=True):
        rows, columns = write(hidden)[0], read(hidden)[0]
        one = torch.zeros_like(right)
        one[..., rows] = F.linear(x[..., columns], layer.weight[rows][:, columns], layer.bias[rows])
        right = right + p * one
        arch = Nested(hidden=hidden, inner=5, kind="flat")
        for scope in (axes.masked(arch), axes.masked([arch, arch])):
            with scope:
                torch.testing.assert_close(module(x), one)
        with axes.at(arch):
            torch.testing.assert_close(module(x[..., columns]), one[..., rows])
    with axes.relaxed({"hidden": P["hidden"]}):
        torch.testing.assert_close(module(x), right)


def test_a_choice_that_is_no_field_is_refused():
    axes = Derived.axes()
    for choice in (2 * axes.inner, axes.inner + 1, axes.width):
        with pytest.raises(ElasticNASError, match=r"a Mixture (chooses by|takes) a field"):
            enn.Mixture(nn.Identity(), choice)


def test_options_that_are_numbers_with_a_point():
    class Scaled(Space):
        factor: Literal[1.0, 0.5]

    axes = Scaled.axes()
    model = enn.Mixture({1.0: nn.Identity(), 0.5: nn.Tanh()}, axes.factor)
    x = torch.randn(3, dtype=torch.float64)
    for factor, expected in ((1.0, x), (0.5, x.tanh())):
        with axes.at(Scaled(factor=factor)):
            assert torch.equal(model(x), expected)
