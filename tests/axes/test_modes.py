"""What a first use in some mode of torch leaves behind must not reach a later, ordinary one."""

import copy
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

import elasticnas.nn as enn
from elasticnas import Space, extract
from elasticnas.axes import expected


class Sizes(Space):
    hidden: Literal[6, 4, 2]
    half: Literal[3, 2, 1]
    inner: Literal[5, 3]
    depth: Literal[2, 1]
    kind: Literal["flat", "deep"]


SMALL = Sizes(hidden=2, half=1, inner=3, depth=1, kind="deep")
LARGE = Sizes.largest()
X = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A part of every kind, of axes, products and sums."""

    def __init__(self, sizes):
        super().__init__()
        self.hidden = sizes.hidden
        self.norm, self.rms = enn.LayerNorm(sizes.hidden), enn.RMSNorm(sizes.hidden)
        self.scale = enn.Parameter(sizes.hidden, std=1.0)
        self.attention = enn.Attention(sizes.hidden, 2, 2 * sizes.half)
        self.linrec = enn.Attention(sizes.hidden, 2, sizes.half, kind="linrec")
        self.pointwise = enn.PointwiseAttention(sizes.hidden, 2, sizes.half, 5)
        self.stack = enn.Stack([enn.FeedForward(sizes.hidden, sizes.inner, gated=True) for _ in range(2)], sizes.depth)
        branches = {"flat": enn.Linear(sizes.hidden, sizes.hidden), "deep": enn.FeedForward(sizes.hidden, sizes.inner)}
        self.mixture = enn.Mixture(branches, sizes.kind, inputs=sizes.hidden)
        self.gate = enn.DataAwareGate(sizes.hidden, sizes.hidden)
        self.join = enn.Linear(2 * sizes.hidden, sizes.inner + sizes.half)

    def forward(self, x):
        x = x + self.norm(self.rms(x)) * enn.align(self.scale, x)
        x = x + self.attention(x) + self.linrec(x) + self.pointwise(x)
        x = x + self.gate(x) * self.mixture(self.stack(x))
        shares = enn.softmax(x, self.hidden) * enn.mean(x, self.hidden, keepdim=True)
        return self.join(torch.cat([x, shares * expected(self.hidden, -0.5, x)], -1)).square().mean((-2, -1))


def made():
    axes = Sizes.axes()
    torch.manual_seed(1)
    return axes, Net(axes)


PROBABILITIES = {
    "hidden": torch.tensor([0.2, 0.3, 0.5]),
    "half": torch.tensor([0.0, 0.4, 0.6]),
    "depth": torch.tensor([0.7, 0.3]),
    "kind": torch.tensor([0.1, 0.9]),
}
SCOPES = {
    "slice": lambda axes: axes.at(LARGE),
    "mask": lambda axes: axes.masked(SMALL),
    "per sample": lambda axes: axes.masked([SMALL, LARGE]),
    "relaxed": lambda axes: axes.relaxed(PROBABILITIES),
    "learned": lambda axes: axes.relaxed({k: v.clone().requires_grad_() for k, v in PROBABILITIES.items()}),
}


class Subclass(torch.Tensor):
    """As tensors that log, or carry a unit, are."""


def inference(model):
    with torch.inference_mode():
        model(X)


def no_grad(model):
    with torch.no_grad():
        model(X)


def fake(model):
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        model(mode.from_tensor(X))


def on_meta(model):
    copy.deepcopy(model).to("meta")(X.to("meta"))


def default_device(model):
    with torch.device("meta"):
        model(X)


def default_dtype(model):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        model(X)
    finally:
        torch.set_default_dtype(before)


def half(model):
    copy.deepcopy(model).half()(X.half())


def double(model):
    copy.deepcopy(model).double()(X.double())


def autocast(model):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(X)


def grad(model):
    torch.func.grad(lambda x: model(x).sum())(X)


def vmap(model):
    torch.func.vmap(model)(torch.stack([X, X + 1]))


def vmap_of_weights(model):
    weights = {name: torch.stack([value, value]) for name, value in model.state_dict().items()}
    torch.func.vmap(lambda each: torch.func.functional_call(model, each, (X,)))(weights)


def traced(model):
    make_fx(lambda x: model.mixture(model.norm(x)))(X)  # the whole network takes seconds


def subclass(model):
    model(X.as_subclass(Subclass))


def run(model, axes, scope, first=None, within=False):
    """Output and gradients of an ordinary pass, after a first one in some mode."""
    if first is not None and not within:
        with scope(axes):
            first(model)
    with scope(axes):
        if first is not None and within:
            first(model)
        output = model(X)
    assert type(output) is torch.Tensor
    model.zero_grad(set_to_none=True)
    output.sum().backward()
    return [output.detach(), *(parameter.grad for parameter in model.parameters())]


@pytest.fixture(scope="module")
def ordinary():
    """Without any first use; what the supernet computes is compared with extraction below."""
    found = {}
    for name, scope in SCOPES.items():
        axes, model = made()
        found[name] = run(model, axes, scope)
    return found


FIRST = [
    inference,
    no_grad,
    fake,
    on_meta,
    default_device,
    default_dtype,
    half,
    double,
    autocast,
    grad,
    vmap,
    vmap_of_weights,
    traced,
    subclass,
]
FEW = ("mask", "relaxed")


def case(first, scope, within):
    return pytest.param(first, scope, within, id=f"{first.__name__}-{scope}-{'in one scope' if within else 'in two'}")


@pytest.mark.parametrize(
    ("first", "scope", "within"),
    [
        case(first, scope, within)
        for first in FIRST
        for scope in (FEW if first in (traced, no_grad, default_dtype, half, double) else SCOPES)
        for within in (False, True)
    ],
)
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_a_first_use_in_a_mode_leaves_nothing_behind(ordinary, first, scope, within):
    axes, model = made()
    found = run(model, axes, SCOPES[scope], first, within)
    for computed, right in zip(found, ordinary[scope], strict=True):
        assert (computed is None) == (right is None)
        if computed is not None:
            torch.testing.assert_close(computed, right)


def test_what_the_tests_above_compare_with_is_what_slices_give(ordinary):
    axes, model = made()
    plain = extract(model, SMALL, X[..., :2])
    by_slices = plain(X[..., :2])
    with axes.masked(SMALL):
        masked = model(F.pad(X[..., :2], (0, 4)))
    # of the 8 outputs of the join 4 are there: the mean is over all
    torch.testing.assert_close(masked * 8, by_slices * 4)


def test_a_scope_object_made_in_a_mode_is_entered_outside_of_it():
    for mode in (
        torch.inference_mode,
        lambda: FakeTensorMode(allow_non_fake_inputs=True),
        lambda: torch.device("meta"),
    ):
        axes, model = made()
        with mode():
            scopes = [SCOPES[name](axes) for name in ("slice", "mask", "per sample")]
        for scope, name in zip(scopes, ("slice", "mask", "per sample"), strict=True):
            fresh_axes, fresh = made()
            for computed, right in zip(
                run(model, axes, lambda _, scope=scope: scope), run(fresh, fresh_axes, SCOPES[name]), strict=True
            ):
                assert (computed is None) == (right is None)
                if computed is not None:
                    torch.testing.assert_close(computed, right)


@pytest.mark.parametrize("first", [half, autocast, no_grad, double])
def test_a_low_precision_first_use_does_not_round_later_ones(first):
    """The expected scale of float64 is exact to its last digits whatever came first."""
    axes, model = made()
    p = torch.tensor([1 / 3, 1 / 3, 1 / 3], dtype=torch.float64)
    with axes.relaxed({"hidden": p}):
        first(model)
        scale = expected(axes.hidden, -0.5, X.double())
        product = expected(2 * axes.hidden, -0.5, X.double())
    by_hand = sum(size**-0.5 for size in (6, 4, 2)) / 3
    assert abs(scale.item() - by_hand) < 1e-15 and abs(product.item() - by_hand * 2**-0.5) < 1e-15


def test_a_counting_mode_around_a_supernet():
    """torch's counter keeps modules in a weak dictionary, which compares them."""
    axes = Sizes.axes()
    linear = enn.Linear(axes.hidden, axes.inner)
    with axes.masked(SMALL), FlopCounterMode(display=False) as counter:
        linear(X)
    assert counter.get_total_flops() == 2 * 2 * 5 * 6 * 5
    fresh = enn.Linear(axes.hidden, axes.inner)
    fresh.load_state_dict(linear.state_dict())
    with axes.masked(SMALL):
        torch.testing.assert_close(linear(X), fresh(X))


def test_a_counting_mode_around_a_supernet_with_elastic_parameters():
    axes, model = made()
    with axes.masked(SMALL), FlopCounterMode(display=False) as counter:
        model(X)
    assert counter.get_total_flops() > 0


class Halves(nn.Module):
    """A scale and a norm, to be written out by hand."""

    def __init__(self, sizes):
        super().__init__()
        self.linear = enn.Linear(sizes.hidden, sizes.inner)

    def forward(self, x):
        return torch.tanh(self.linear(x)).sum(-1)


def small(x, weight, bias):
    """Halves at hidden=2, inner=3, on slices."""
    return torch.tanh(F.linear(x[..., :2], weight[:3, :2], bias[:3])).sum(-1)


TRANSFORMS = {
    "grad": lambda f, x: torch.func.grad(lambda v: f(v).sum())(x),
    "vmap": lambda f, x: torch.func.vmap(f)(x),
    "jvp": lambda f, x: torch.func.jvp(f, (x,), (torch.ones_like(x),))[1],
    "hessian": lambda f, x: torch.func.hessian(lambda v: f(v).sum())(x),
    "jacrev of vmap": lambda f, x: torch.func.jacrev(torch.func.vmap(f))(x),
    "vmap of grad": lambda f, x: torch.func.vmap(torch.func.grad(lambda v: f(v).sum()))(x),
}


@pytest.mark.parametrize("scope", ["mask", "relaxed"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_functions_see_the_scope(name, scope):
    axes = Sizes.axes()
    torch.manual_seed(0)
    model = Halves(axes).double()
    weight, bias = model.linear.weight.detach(), model.linear.bias.detach()
    one_hot = {"hidden": torch.tensor([0.0, 0, 1]).double(), "inner": torch.tensor([0.0, 1]).double()}
    x = F.pad(X[0, :2, :2].double(), (0, 4))
    with axes.masked(SMALL) if scope == "mask" else axes.relaxed(one_hot):
        found = TRANSFORMS[name](model, x)
    by_hand = TRANSFORMS[name](lambda v: small(v, weight, bias), x)
    torch.testing.assert_close(found, by_hand)


def test_each_sample_of_vmap_may_have_its_own_probabilities():
    axes = Sizes.axes()
    torch.manual_seed(0)
    model = Halves(axes).double()
    weight, bias = model.linear.weight.detach(), model.linear.bias.detach()
    rows = torch.tensor([[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]], dtype=torch.float64)
    x = X[0, :3].double()

    def one(p, row):
        with axes.relaxed({"inner": p}):
            return model(row)

    found = torch.func.vmap(one)(rows, x)
    masks = rows @ torch.tensor([[1.0, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(found, torch.tanh(F.linear(x, weight, bias) * masks).sum(-1))
    slopes = torch.func.vmap(torch.func.grad(one))(rows, x)
    leaf = rows.clone().requires_grad_()
    masks = leaf @ torch.tensor([[1.0, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.float64)
    torch.tanh(F.linear(x, weight, bias) * masks).sum().backward()
    torch.testing.assert_close(slopes, leaf.grad)


def test_probabilities_changed_in_place_while_their_scope_is_open():
    axes = Sizes.axes()
    torch.manual_seed(0)
    model = Halves(axes).double()
    p = torch.tensor([0.3, 0.7], dtype=torch.float64)
    full = F.linear(X.double(), model.linear.weight, model.linear.bias)
    with axes.relaxed({"inner": p}), torch.no_grad():
        for first in (0.3, 0.9, 0.0):
            p.copy_(torch.tensor([first, 1 - first]))
            m = torch.tensor([1.0, 1, 1, first, first], dtype=torch.float64)
            torch.testing.assert_close(model(X.double()), torch.tanh(full * m).sum(-1))


def test_autocast_computes_in_half_precision_and_leaves_the_weights():
    axes, model = made()
    for name, scope in SCOPES.items():
        with scope(axes):
            exact = model(X)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                rough = model(X)
        assert all(parameter.dtype == torch.float32 for parameter in model.parameters()), name
        torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.05)
