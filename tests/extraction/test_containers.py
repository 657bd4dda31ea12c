"""Everything that a module may hold is extracted right or refused: nothing is dropped without a word."""

import dataclasses
import functools
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

import elasticnas.nn as enn
from elasticnas import Space, extract
from elasticnas.axes import active_size, apply_mask, select
from elasticnas.cost import Params
from elasticnas.errors import ElasticNASError, ExtractionError


class Width(Space):
    hidden: Literal[6, 5, 3]


class Sizes(Space):
    hidden: Literal[6, 3]
    inner: Literal[7, 4]
    depth: Literal[3, 1]
    run: bool
    kind: Literal["flat", "deep"]


NARROW = Width(hidden=3)
SMALL = Sizes(hidden=3, inner=4, depth=1, run=True, kind="deep")


class Holder(nn.Module):
    """Holds parts under their names, and computes a function of itself and the input."""

    def __init__(self, compute, **parts):
        super().__init__()
        self.compute = compute
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.compute(self, x)


def ready(model):
    generator = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model.double().eval()


def inputs(width=3):
    return torch.randn(4, width, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def linear(x, part, units=3):
    """A layer on slices that are written out."""
    return F.linear(x, part.weight[:units, : x.shape[-1]], part.bias[:units])


def gives(model, arch, expected):
    """The extracted module computes what was worked out by hand, and has no elastic part left."""
    plain = extract(model, arch)
    torch.testing.assert_close(plain(inputs()), expected, rtol=1e-9, atol=1e-9)
    assert not any(isinstance(part, (enn.ElasticLinear, enn.ElasticParameter)) for part in plain.modules())
    return plain


# ---- parameters in containers


def parameters(axes, count=2):
    return [enn.Parameter(axes.hidden) for _ in range(count)]


def summed(self, x):
    return self.layer(x) + sum(self.held)


def by_keys(self, x):
    return self.layer(x) + self.held["first"] + self.held["second"]


CONTAINERS = {
    "ModuleList": (nn.ModuleList, summed),
    "ParameterList": (nn.ParameterList, summed),
    "ModuleDict": (lambda ps: nn.ModuleDict({"first": ps[0], "second": ps[1]}), by_keys),
    "values of a ModuleDict": (
        lambda ps: nn.ModuleDict({"first": ps[0], "second": ps[1]}),
        lambda self, x: self.layer(x) + sum(self.held.values()),
    ),
    "ParameterDict": (lambda ps: nn.ParameterDict({"first": ps[0], "second": ps[1]}), by_keys),
    "lists in a list": (
        lambda ps: nn.ModuleList([nn.ModuleList([p]) for p in ps]),
        lambda self, x: self.layer(x) + sum(p for each in self.held for p in each),
    ),
    "dictionary of lists": (
        lambda ps: nn.ModuleDict({"one": nn.ModuleList(ps)}),
        lambda self, x: self.layer(x) + sum(self.held["one"]),
    ),
    "slice of a list": (nn.ModuleList, lambda self, x: self.layer(x) + self.held[:1][0] + self.held[-1]),
    "tuple": (tuple, summed),
    "dict": (lambda ps: {"first": ps[0], "second": ps[1]}, by_keys),
    "Sequential": (lambda ps: nn.Sequential(*ps), summed),
}


@pytest.mark.parametrize(
    "name",
    CONTAINERS,
)
def test_parameters_in_a_container(name):
    hold, compute = CONTAINERS[name]
    axes = Width.axes()
    held = parameters(axes)
    model = ready(Holder(compute, layer=enn.Linear(axes.hidden, axes.hidden), held=hold(held)))
    for parameter in held:
        parameter._apply(torch.Tensor.double)  # a tuple is none of a module's parts
    expected = linear(inputs(), model.layer) + held[0].weight[:3] + held[1].weight[:3]
    gives(model, NARROW, expected)


class OwnList(nn.ModuleList):
    pass


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (lambda p, layer: nn.ModuleList([layer, p]), "holds modules besides parameters, and torch has no such"),
        (lambda p, layer: nn.ModuleDict({"a": p, "b": layer}), "holds modules besides parameters"),
        (lambda p, layer: OwnList([p]), "holds parameters, but is a subclass or has attributes"),
    ],
)
def test_containers_that_torch_has_no_form_for_are_refused(held, message):
    axes = Width.axes()
    layer = enn.Linear(axes.hidden, axes.hidden)
    model = ready(Holder(lambda self, x: self.layer(x), layer=layer, held=held(enn.Parameter(axes.hidden), layer)))
    with pytest.raises(ExtractionError, match=message):
        extract(model, NARROW)


def test_an_attribute_of_a_list_of_parameters_is_not_lost():
    axes = Width.axes()
    held = nn.ModuleList(parameters(axes))
    held.factor = 2.0
    model = ready(Holder(lambda self, x: self.layer(x) * self.held.factor, layer=enn.Linear(axes.hidden, 2), held=held))
    with pytest.raises(ExtractionError, match="is a subclass or has attributes"):
        extract(model, NARROW)


# ---- one thing under several names


def test_one_parameter_under_several_names_stays_one():
    axes = Width.axes()
    shared = enn.Parameter(axes.hidden)
    inside = Holder(lambda self, x: x * self.held, held=shared)
    model = ready(
        Holder(
            lambda self, x: self.inside(self.layer(x)) + self.one * self.two + self.listed[0] + self.listed[1],
            layer=enn.Linear(axes.hidden, axes.hidden),
            inside=inside,
            one=shared,
            two=shared,
            listed=nn.ModuleList([shared, shared]),
        )
    )
    p = shared.weight[:3]
    plain = gives(model, NARROW, linear(inputs(), model.layer) * p + p * p + 2 * p)
    assert plain.one is plain.two is plain.inside.held is plain.listed[0] is plain.listed[1]
    assert len(list(plain.parameters())) == 3


def test_a_layer_and_a_container_under_two_names():
    axes = Width.axes()
    layer = enn.Linear(axes.hidden, axes.hidden)
    held = nn.ModuleList(parameters(axes))
    model = ready(
        Holder(
            lambda self, x: self.b(torch.tanh(self.a(x))) + sum(self.c) * sum(self.d), a=layer, b=layer, c=held, d=held
        )
    )
    p = held[0].weight[:3] + held[1].weight[:3]
    plain = gives(model, NARROW, linear(torch.tanh(linear(inputs(), layer)), layer) + p * p)
    assert plain.a is plain.b and plain.c is plain.d


def test_one_layer_several_times_in_a_stack_and_outside_of_it():
    axes = Sizes.axes()
    layer = enn.Linear(axes.hidden, axes.hidden)
    branches = {"flat": layer, "deep": nn.Sequential(enn.FeedForward(axes.hidden, axes.inner), layer)}
    model = ready(
        Holder(
            lambda self, x: self.skip(self.outside(self.mixture(self.stack(x)))),
            stack=enn.Stack([layer, layer, layer], axes.depth),
            outside=layer,
            mixture=enn.Mixture(branches, axes.kind),
            skip=enn.DepthSkip(layer, axes.run),
        )
    )
    with torch.no_grad():
        deep = branches["deep"][0]
        x = F.linear(F.gelu(linear(linear(inputs(), layer), deep.up, 4)), deep.down.weight[:3, :4], deep.down.bias[:3])
        expected = linear(linear(linear(x, layer), layer), layer)
    plain = gives(model, SMALL, expected)
    assert plain.stack.layers[0] is plain.outside is plain.skip.module is plain.mixture.candidates["deep"][1]


def test_a_tied_weight_stays_tied():
    axes = Width.axes()
    a, b = enn.Linear(axes.hidden, axes.hidden), enn.Linear(axes.hidden, axes.hidden)
    b.weight = a.weight
    model = ready(Holder(lambda self, x: self.b(self.a(x)), a=a, b=b))
    plain = gives(model, NARROW, linear(linear(inputs(), a), b))
    assert plain.a.weight is plain.b.weight


@pytest.mark.parametrize("plain_first", [False, True])
@pytest.mark.parametrize("other", ["another axis", "a fixed size", "a module of one's own"])
def test_a_weight_that_would_be_torn_is_refused(other, plain_first):
    axes = Sizes.axes()
    torn = enn.Linear(axes.hidden, 7)
    if other == "another axis":
        with_it = enn.Linear(6, axes.inner)
        with_it.weight = torn.weight
    elif other == "a fixed size":
        with_it = nn.Linear(6, 7)
        with_it.weight = torn.weight
    else:
        with_it = Holder(lambda self, x: F.linear(x, self.w), w=torn.weight)
    parts = {"b": torn, "a": with_it} if plain_first else {"a": torn, "b": with_it}
    rest = Holder(
        lambda self, x: x,
        one=enn.FeedForward(axes.hidden, axes.inner),
        two=enn.Stack([nn.Identity()] * 3, axes.depth),
        three=enn.Mixture({"flat": nn.Identity(), "deep": nn.Tanh()}, axes.kind),
        four=enn.DepthSkip(nn.Identity(), axes.run),
    )
    model = ready(Holder(lambda self, x: self.a(x) + self.b(x), rest=rest, **parts))
    with pytest.raises(ExtractionError, match=r"[ab]\.w(eight)? and [ab]\.w(eight)? are one tensor, of which this"):
        extract(model, SMALL)
    extract(model, Sizes.largest())  # nothing is cut there


def test_a_weight_shared_with_a_layer_that_is_dropped_is_not_torn():
    axes = Sizes.axes()
    layers = [enn.Linear(axes.hidden, axes.hidden) for _ in range(3)]
    outside = nn.Linear(6, 6)
    outside.weight = layers[2].weight
    model = ready(
        Holder(
            lambda self, x: self.stack(x) + self.outside(F.pad(x, (0, 3)))[..., :3],
            stack=enn.Stack(layers, axes.depth),
            outside=outside,
            rest=enn.FeedForward(axes.hidden, axes.inner),
            mixture=enn.Mixture({"flat": nn.Identity(), "deep": nn.Tanh()}, axes.kind),
            skip=enn.DepthSkip(nn.Identity(), axes.run),
        )
    )
    right = linear(inputs(), layers[0]) + outside(F.pad(inputs(), (0, 3)))[..., :3]
    gives(model, SMALL, right)


# ---- subclasses and hooks of containers


class Doubled:
    """Mixed in before a container: forward gives twice as much, with what the container itself holds added."""

    def forward(self, x):
        return 2 * super().forward(x) + self.shift + self.bonus + self.own(x)


class DoubledStack(Doubled, enn.Stack):
    pass


class DoubledMixture(Doubled, enn.Mixture):
    pass


class DoubledSkip(Doubled, enn.DepthSkip):
    pass


def container(kind, axes, layers, doubled):
    stack, mixture, skip = (
        (DoubledStack, DoubledMixture, DoubledSkip) if doubled else (enn.Stack, enn.Mixture, enn.DepthSkip)
    )
    made = {
        "prefix": lambda: stack(layers, axes.depth),
        "chosen": lambda: stack(layers, [True, axes.run, False]),
        "branches": lambda: mixture({"flat": layers[1], "deep": nn.Sequential(*layers[:1])}, axes.kind),
        "one module": lambda: mixture(layers[0], axes.kind),
        "skip": lambda: skip(layers[0], axes.run),
    }
    return made[kind]()


KINDS = ["prefix", "chosen", "branches", "one module", "skip"]


def around(axes, part):
    """Every choice reaches the model."""
    return Holder(
        lambda self, x: self.part(x),
        part=part,
        rest=enn.FeedForward(axes.hidden, axes.inner),
        deep=enn.Stack([nn.Identity()] * 3, axes.depth),
        skip=enn.DepthSkip(nn.Identity(), axes.run),
        mix=enn.Mixture({"flat": nn.Identity(), "deep": nn.Tanh()}, axes.kind),
    )


def inside(kind, layers, x):
    """What the container without any addition gives at SMALL."""
    x = linear(x, layers[0])
    return linear(x, layers[1]) if kind == "chosen" else x


@pytest.mark.parametrize("kind", KINDS)
def test_a_subclass_of_a_container_stays_what_it_is(kind):
    axes = Sizes.axes()
    layers = [enn.Linear(axes.hidden, axes.hidden) for _ in range(3)]
    part = container(kind, axes, layers, doubled=True)
    part.register_buffer("shift", torch.tensor(0.25))
    part.bonus = 3.0
    part.own = enn.Linear(axes.hidden, axes.hidden)
    model = ready(around(axes, part))
    x = inputs()
    plain = gives(model, SMALL, 2 * inside(kind, layers, x) + 0.25 + 3.0 + linear(x, part.own))
    assert type(plain.part) is type(part) and isinstance(plain.part.own, nn.Linear)
    assert "shift" in dict(plain.part.named_buffers())


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_held_by_a_container(kind):
    axes = Sizes.axes()
    layers = [enn.Linear(axes.hidden, axes.hidden) for _ in range(3)]
    part = container(kind, axes, layers, doubled=True)
    part.shift, part.own = enn.Parameter(axes.hidden), nn.Identity()
    part.bonus = 0.0
    model = ready(around(axes, part))
    expected = 2 * inside(kind, layers, inputs()) + part.shift.weight[:3] + inputs()
    gives(model, SMALL, expected)


def halve(module, args):
    return (args[0] / 2,)


def square(module, args, output):
    return output.square()


def with_keywords(module, args, kwargs, output):
    return output + len(kwargs) + 1


@pytest.mark.parametrize("kind", [*KINDS, "leaf"])
def test_hooks_run_in_the_extracted_module(kind):
    axes = Sizes.axes()
    layers = [enn.Linear(axes.hidden, axes.hidden) for _ in range(3)]
    part = layers[0] if kind == "leaf" else container(kind, axes, layers, doubled=False)
    part.register_forward_pre_hook(halve)
    part.register_forward_hook(square)
    part.register_forward_hook(with_keywords, with_kwargs=True)
    part.register_forward_hook(square, prepend=True)
    model = ready(around(axes, part))
    gives(model, SMALL, inside(kind, layers, inputs() / 2).square().square() + 1)


@pytest.mark.parametrize("kind", [*KINDS, "leaf"])
def test_backward_hooks_run_in_the_extracted_module(kind):
    axes = Sizes.axes()
    layers = [enn.Linear(axes.hidden, axes.hidden) for _ in range(3)]
    part = layers[0] if kind == "leaf" else container(kind, axes, layers, doubled=False)
    part.register_full_backward_hook(lambda module, given, gradients: (10 * given[0],))
    model = ready(around(axes, part))
    plain = extract(model, SMALL)
    x, y = inputs().requires_grad_(), inputs().requires_grad_()
    plain(x).sum().backward()
    (10 * inside(kind, layers, y)).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_a_hook_that_is_a_method_belongs_to_the_extracted_model():
    class Scaled(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.scale, self.stack = enn.Parameter(sizes.hidden), enn.Stack([enn.Linear(sizes.hidden, sizes.hidden)], 1)
            self.stack.register_forward_hook(self.hook)
            self.stack.register_forward_pre_hook(functools.partial(self.before, 2.0))

        def hook(self, module, args, output):
            return output * self.scale

        def before(self, factor, module, args):
            return (args[0] * factor,)

        def forward(self, x):
            return self.stack(x)

    model = ready(Scaled(Width.axes()))
    expected = linear(2 * inputs(), model.stack.layers[0]) * model.scale.weight[:3]
    plain = gives(model, NARROW, expected)
    with torch.no_grad():
        plain.scale.zero_()
    assert not plain(inputs()).any()


def test_a_parameter_with_hooks_is_refused():
    axes = Width.axes()
    model = ready(Holder(lambda self, x: x + self.p, p=enn.Parameter(axes.hidden), l=enn.Linear(axes.hidden, 2)))
    model.p.register_forward_hook(square)
    with pytest.raises(ExtractionError, match="has hooks or its own forward"):
        extract(model, NARROW)


# ---- leaves of one's own making


class ScoresTwice(enn.ElasticEmbedding):
    def scores(self, x):
        return 2 * super().scores(x)


class Tripled(enn.ElasticLinear):
    def forward(self, x):
        return 3 * super().forward(x)


class WithMethod(enn.ElasticLinear):
    def factor(self):
        return 3.0


def test_a_leaf_with_a_forward_of_its_own_is_refused():
    axes = Width.axes()
    model = ready(Holder(lambda self, x: self.l(x), l=Tripled(axes.hidden, axes.hidden, True, None, None)))
    with pytest.raises(ExtractionError, match=r"Tripled is a subclass of ElasticLinear"):
        extract(model, NARROW)


def extracted_or_refused(model, expected):
    """One or the other; silence with another result is what may not be."""
    try:
        plain = extract(model, NARROW)
    except ElasticNASError:
        return
    torch.testing.assert_close(plain(inputs()), expected, rtol=1e-9, atol=1e-9)


def test_a_table_with_scores_of_its_own():
    axes = Width.axes()
    table = ScoresTwice(5, axes.hidden, None, None, None)
    model = ready(Holder(lambda self, x: self.table.scores(x), table=table))
    extracted_or_refused(model, 2 * F.linear(inputs(), table.weight[:, :3]))


def test_a_leaf_with_an_attribute():
    axes = Width.axes()
    layer = enn.Linear(axes.hidden, axes.hidden)
    layer.factor = 3.0
    model = ready(Holder(lambda self, x: self.l(x) * getattr(self.l, "factor", 1.0), l=layer))
    extracted_or_refused(model, 3 * linear(inputs(), layer))


def test_a_leaf_with_a_method():
    axes = Width.axes()
    layer = WithMethod(axes.hidden, axes.hidden, True, None, None)
    model = ready(Holder(lambda self, x: self.l(x) * self.l.factor(), l=layer))
    extracted_or_refused(model, 3 * linear(inputs(), layer))


@pytest.mark.parametrize("what", ["parameter", "buffer"])
def test_a_tensor_that_a_leaf_does_not_name_is_refused(what):
    axes = Width.axes()
    layer = enn.Linear(axes.hidden, axes.hidden)
    if what == "parameter":
        layer.register_parameter("gain", nn.Parameter(torch.ones(6)))
    else:
        layer.register_buffer("gain", torch.ones(6))
    model = ready(Holder(lambda self, x: self.l(x), l=layer))
    with pytest.raises(ExtractionError, match=r"ElasticLinear holds gain, which its tensor_sizes\(\) does not name"):
        extract(model, NARROW)


@pytest.mark.parametrize("what", ["module", "parameter"])
def test_a_part_that_a_leaf_holds_is_refused(what):
    axes = Width.axes()
    layer = enn.Linear(axes.hidden, axes.hidden)
    layer.gain = nn.Tanh() if what == "module" else enn.Parameter(axes.hidden)
    model = ready(Holder(lambda self, x: self.l(x), l=layer))
    with pytest.raises(ExtractionError, match="ElasticLinear holds the modules gain, and its plain form Linear has no"):
        extract(model, NARROW)


class Shifted(enn.ElasticModule):
    """A leaf with buffers, one of them without dimensions, and a tensor that may be missing."""

    def __init__(self, hidden):
        super().__init__()
        self.hidden = hidden
        self.register_buffer("shift", torch.arange(6.0))
        self.register_buffer("factor", torch.tensor(2.0))
        self.register_buffer("missing", None)
        self.register_buffer("unsaved", torch.arange(6), persistent=False)

    def tensor_sizes(self):
        return {"shift": [self.hidden], "factor": (), "unsaved": [self.hidden]}

    def forward(self, x):
        kept = select(self.shift, [self.hidden]) + select(self.unsaved, [self.hidden])
        return apply_mask(x * self.factor + kept, self.hidden)

    def example(self, generator):
        return (torch.randn(2, active_size(self.hidden), generator=generator).to(self.shift),)


def test_buffers_of_a_leaf_of_ones_own():
    model = Shifted(Width.axes().hidden).double()
    plain = extract(model, NARROW)
    torch.testing.assert_close(plain(inputs()), 2 * inputs() + 2 * torch.arange(3.0, dtype=torch.float64))
    assert plain.hidden == 3 and plain.shift.tolist() == [0, 1, 2] and plain.unsaved.dtype == torch.int64
    assert set(plain.state_dict()) == {"shift", "factor"} and not list(plain.parameters())
    plain.factor.fill_(9)
    assert model.factor == 2  # a copy


# ---- parametrizations


def normed(layer):
    """weight_norm's weight, by its formula."""
    g, v = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    return g * v / v.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("count", [2, 40])
def test_weights_that_parametrizations_compute_are_not_shared_by_accident(count):
    axes = Width.axes()
    layers = [weight_norm(enn.Linear(axes.hidden, axes.hidden, bias=False)) for _ in range(count)]
    model = ready(nn.Sequential(*layers))
    plain = extract(model, NARROW)
    assert len({id(layer.weight) for layer in plain}) == count
    for layer, made in zip(layers, plain, strict=True):
        torch.testing.assert_close(made.weight, normed(layer)[:3, :3])
        assert type(made) is nn.Linear and made.weight.is_leaf
    # norms belong to full rows, so that the active part is what a plain layer holds
    assert Params(model)(NARROW) == count * 9


class Positive(nn.Module):
    def forward(self, value):
        return value.exp()


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda a: enn.Linear(a.hidden, a.hidden), "weight"),
        (lambda a: enn.Linear(a.hidden, a.hidden), "bias"),
        (lambda a: enn.LayerNorm(a.hidden), "weight"),
        (lambda a: enn.RMSNorm(a.hidden), "weight"),
    ],
)
def test_a_parametrized_leaf(build, name):
    axes = Width.axes()
    part = build(axes)
    parametrize.register_parametrization(part, name, Positive())
    model = ready(Holder(lambda self, x: self.part(x), part=part))
    original = part.parametrizations[name].original
    plain = extract(model, NARROW)
    wanted = original[:3, :3] if original.ndim == 2 else original[:3]
    torch.testing.assert_close(getattr(plain.part, name), wanted.exp())
    assert not parametrize.is_parametrized(plain.part)
    assert isinstance(getattr(plain.part, name), nn.Parameter)


def test_a_parametrized_table_and_a_parametrized_parameter():
    axes = Width.axes()
    table, scale = enn.Embedding(5, axes.hidden), enn.Parameter(axes.hidden)
    for part in (table, scale):
        parametrize.register_parametrization(part, "weight", Positive())
    model = ready(Holder(lambda self, x: self.table.scores(x * self.scale), table=table, scale=scale))
    rows, factor = (part.parametrizations.weight.original.exp() for part in (table, scale))
    gives(model, NARROW, F.linear(inputs() * factor[:3], rows[:, :3]))


def test_extraction_leaves_the_state_of_spectral_norm():
    axes = Width.axes()
    model = ready(nn.Sequential(spectral_norm(enn.Linear(axes.hidden, axes.hidden)))).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plain = extract(model, NARROW)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[0].training and plain[0].training
    model.eval()
    torch.testing.assert_close(plain[0].weight, model[0].weight[:3, :3])


@pytest.mark.parametrize("how", ["weight_norm", "prune"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_hooks_compute_from_other_tensors_is_refused(how):
    axes = Width.axes()
    layer = enn.Linear(axes.hidden, axes.hidden)
    if how == "prune":
        prune.l1_unstructured(layer, "weight", 0.5)
    else:
        torch.nn.utils.weight_norm(layer)
    with pytest.raises(ExtractionError, match=r"holds weight_\w+(, weight_\w+)*, which its tensor_sizes"):
        extract(nn.Sequential(layer), NARROW)


# ---- what else a module carries


@pytest.mark.parametrize("kind", ["prefix", "branches", "skip"])
def test_every_part_keeps_its_own_mode(kind):
    """A frozen dropout stays frozen."""
    axes = Sizes.axes()
    layers = [nn.Sequential(enn.Linear(axes.hidden, axes.hidden), nn.Dropout(0.9)) for _ in range(3)]
    part = container(kind, axes, layers, doubled=False)
    model = around(axes, part).train()
    layers[0][1].eval()
    plain = extract(model, SMALL)
    found = next(module for module in plain.part.modules() if isinstance(module, nn.Dropout))
    assert not found.training and plain.part.training


def test_frozen_weights_stay_frozen_and_gradients_are_not_taken_along():
    axes = Width.axes()
    model = ready(Holder(lambda self, x: self.b(self.a(x)) * self.p, a=enn.Linear(axes.hidden, axes.hidden)))
    model.b, model.p = enn.LayerNorm(axes.hidden).double(), enn.Parameter(axes.hidden, dtype=torch.float64)
    model.a.weight.requires_grad_(False)
    model.p.weight.requires_grad_(False)
    model(inputs(6)).sum().backward()
    plain = extract(model, NARROW)
    assert {name for name, p in plain.named_parameters() if not p.requires_grad} == {"a.weight", "p"}
    assert all(parameter.grad is None for parameter in plain.parameters())


def test_a_layer_that_refers_to_its_stack():
    axes = Sizes.axes()
    layers = [enn.FeedForward(axes.hidden, axes.inner) for _ in range(3)]
    stack = enn.Stack(layers, axes.depth)
    layers[0].owner = (stack,)
    plain = extract(around(axes, stack), SMALL)
    assert plain.part.layers[0].owner[0] is plain.part


@dataclasses.dataclass
class Scores:
    logits: torch.Tensor


class Forgets(nn.Module):
    """Computes something else where its size is an int, which is to be noticed whatever it gives."""

    def __init__(self, sizes, give):
        super().__init__()
        self.layer, self.hidden, self.give = enn.Linear(sizes.hidden, sizes.hidden), sizes.hidden, give

    def forward(self, x):
        return self.give(self.layer(x) + (5.0 if isinstance(self.hidden, int) else 0.0))


@pytest.mark.parametrize(
    "give",
    [
        lambda y: y,
        lambda y: [None, (y,)],
        lambda y: {"a": {"b": y}},
        lambda y: (y * 30).long(),
        Scores,
        lambda y: float(y.sum()),
        lambda y: (y[0, 0].item(), 1),
        lambda y: y > 1,
    ],
    ids=["tensor", "list", "mapping", "integers", "dataclass", "number", "numbers", "bools"],
)
def test_a_wrong_output_of_any_form_is_noticed(give):
    torch.manual_seed(0)
    model = Forgets(Width.axes(), give).double()
    with pytest.raises(ExtractionError, match="the extracted network differs from the supernet"):
        extract(model, NARROW, inputs())
