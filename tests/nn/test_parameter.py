"""Raw elastic parameters: like a tensor in every scope that has one architecture, and never broadcast by accident."""

import copy
import math
import pickle
import weakref
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space, extract
from elasticnas.errors import AxisError


class Sizes(Space):
    hidden: Literal[6, 4, 3]
    heads: Literal[2, 1]
    inner: Literal[5, 2]


NARROW, MIDDLE, WIDE = (Sizes(hidden=hidden, heads=heads, inner=5) for hidden, heads in ((3, 1), (4, 2), (6, 2)))
ARCHS = [NARROW, MIDDLE, WIDE]
REFUSED = (
    r"is used in a scope with an architecture per sample, where torch would .* write x \* enn\.align\(parameter, x\)"
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def parameter(*sizes):
    made = enn.Parameter(*sizes, dtype=torch.float64)
    made.weight.data = normal(*made.weight.shape, seed=7)
    return made


# ---- an architecture per sample


RAW = {
    "x * p": lambda x, p: x * p,
    "p * x": lambda x, p: p * x,
    "x + p": lambda x, p: x + p,
    "x - p": lambda x, p: x - p,
    "p - x": lambda x, p: p - x,
    "x / p": lambda x, p: x / p,
    "x @ p": lambda x, p: x @ p,
    "p ** 2": lambda x, p: p**2,
    "-p": lambda x, p: -p,
    "p > 0": lambda x, p: p > 0,
    "p == x": lambda x, p: p == x,
    "p[0]": lambda x, p: p[0],
    "p[:2]": lambda x, p: p[:2],
    "list(p)": lambda x, p: list(p),
    "p()": lambda x, p: p(),
    "torch.add": torch.add,
    "torch.where": lambda x, p: torch.where(x > 0, x, p),
    "torch.stack": lambda x, p: torch.stack([p, p]),
    "torch.cat": lambda x, p: torch.cat([x[0, 0], p]),
    "einsum": lambda x, p: torch.einsum("bnc,c->bn", x, p),
    "F.layer_norm": lambda x, p: F.layer_norm(x, (6,), p),
    "addcmul": lambda x, p: torch.addcmul(x, x, p),
    "lerp": lambda x, p: x.lerp(p, 0.5),
    "x.mul": lambda x, p: x.mul(p),
    "p.expand": lambda x, p: p.expand(len(x), -1),
    "p.sum": lambda x, p: p.sum(),
    "p.to": lambda x, p: p.to(x.dtype),
    "p.float": lambda x, p: p.float(),
    "p.unsqueeze": lambda x, p: p.unsqueeze(0),
    "in place": lambda x, p: x.clone().mul_(p),
    "assigned": lambda x, p: x.clone().__setitem__(0, p),
}


@pytest.mark.parametrize("length", [3, 5], ids=["as long as the batch", "of another length"])
@pytest.mark.parametrize("name", RAW)
def test_raw_use_is_refused_where_samples_have_their_own(name, length):
    axes = Sizes.axes()
    p, x = parameter(axes.hidden), normal(3, length, 6)
    soft = {"hidden": torch.full((3, 3), 1 / 3, dtype=torch.float64)}
    for scope in (axes.masked(ARCHS), axes.masked([NARROW] * 3), axes.relaxed(soft)):
        with scope, pytest.raises(AxisError, match=REFUSED):
            RAW[name](x, p)


def test_a_batch_of_one_is_refused_too():
    axes = Sizes.axes()
    with axes.masked([NARROW]), pytest.raises(AxisError, match=REFUSED):
        normal(1, 5, 6) * parameter(axes.hidden)


def test_what_no_sample_differs_in_may_be_used_raw():
    axes = Sizes.axes()
    p, plain, x = parameter(axes.hidden), enn.Parameter(6, dtype=torch.float64), normal(3, 3, 6)
    with axes.relaxed({"inner": torch.full((3, 2), 0.5, dtype=torch.float64)}):
        torch.testing.assert_close(x * p, x * p.weight)
    with axes.masked(ARCHS):
        torch.testing.assert_close(x * plain, x * plain.data)
        assert enn.align(plain, x) is plain


@pytest.mark.parametrize("shape", [(3, 6), (3, 3, 6), (3, 5, 6), (3, 2, 3, 6), (3, 3, 3, 6), (3, 1, 6)])
def test_aligned_every_sample_gets_its_own_whatever_the_shape(shape):
    axes = Sizes.axes()
    p, x = parameter(axes.hidden), normal(*shape)
    with axes.masked(ARCHS):
        product, total, swapped = x * enn.align(p, x), x + enn.align(p, x), enn.align(p, x) - x
    for row, arch in enumerate(ARCHS):
        own = F.pad(p.weight[: arch.hidden], (0, 6 - arch.hidden))
        torch.testing.assert_close(product[row], x[row] * own)
        torch.testing.assert_close(total[row], x[row] + own)
        torch.testing.assert_close(swapped[row], own - x[row])


def test_aligned_gradients_are_those_of_the_samples():
    axes = Sizes.axes()
    p, x, cotangent = parameter(axes.hidden), normal(3, 3, 6), normal(3, 3, 6, seed=2)
    with axes.masked(ARCHS):
        (x * enn.align(p, x)).backward(cotangent)
    by_hand = torch.zeros(6, dtype=torch.float64)
    for row, arch in enumerate(ARCHS):
        by_hand[: arch.hidden] += (x * cotangent)[row, :, : arch.hidden].sum(0)
    torch.testing.assert_close(p.weight.grad, by_hand)


def test_aligned_tables_tokens_and_products():
    axes = Sizes.axes()
    table, token, per_head = parameter(3, axes.hidden), parameter(1, axes.hidden), parameter(axes.heads * 3)
    channels = parameter(axes.inner, 1)
    x, image = normal(3, 2, 6), normal(3, 5, 4)
    joint = parameter(axes.hidden + axes.inner)
    with axes.masked(ARCHS):
        places = x + enn.align(table, x)[..., :2, :]
        first = torch.cat([enn.align(token, x).expand(len(x), -1, -1), x], 1)
        heads = x * enn.align(per_head, x)
        wide = normal(3, 2, 11) * enn.align(joint, normal(3, 2, 11))
        convolved = image * enn.align(channels, image)
    for row, arch in enumerate(ARCHS):
        m = (torch.arange(6) < arch.hidden).double()
        torch.testing.assert_close(places[row], x[row] + table.weight[:2] * m)
        torch.testing.assert_close(first[row], torch.cat([token.weight * m, x[row]]))
        torch.testing.assert_close(heads[row], x[row] * per_head.weight * (torch.arange(6) < 3 * arch.heads))
        both = torch.cat([m, torch.ones(5).double()])
        torch.testing.assert_close(wide[row], normal(3, 2, 11)[row] * joint.weight * both)
    torch.testing.assert_close(convolved, image * channels.weight)


def test_what_all_samples_share_has_a_batch_of_one():
    axes = Sizes.axes()
    p, x = parameter(axes.hidden), normal(1, 2, 6)
    with axes.masked(ARCHS):
        out = x * enn.align(p, x)
    assert out.shape == (3, 2, 6)
    for row, arch in enumerate(ARCHS):
        torch.testing.assert_close(out[row], x[0] * p.weight * (torch.arange(6) < arch.hidden))


@pytest.mark.parametrize("count", [1, 3])
def test_another_batch_size_is_refused(count):
    axes = Sizes.axes()
    p = parameter(axes.hidden)
    with (
        axes.masked(ARCHS[:count]),
        pytest.raises(AxisError, match=f"for each of {count} samples, but got a batch of 4"),
    ):
        enn.align(p, normal(4, 5, 6))


def test_an_activation_without_a_batch_is_refused():
    axes = Sizes.axes()
    p, table = parameter(axes.hidden), parameter(3, axes.hidden)
    with axes.masked(ARCHS):
        with pytest.raises(AxisError, match=r"for each of 3 samples, but got a batch of 6"):
            enn.align(p, normal(6))
        with pytest.raises(AxisError, match=r"align: x has the shape \(3, 6\), but the parameter has 2 dimensions"):
            enn.align(table, normal(3, 6))


def test_a_token_with_a_dimension_for_the_batch():
    """``(1, 1, hidden)``, as a class token is often held; without one for the batch it is refused."""
    axes = Sizes.axes()
    token, grid, x = parameter(1, 1, axes.hidden), parameter(2, 2, axes.hidden), normal(3, 2, 6)
    with axes.masked(ARCHS):
        found = enn.align(token, x)
        with pytest.raises(AxisError, match="x must have these and a batch"):
            enn.align(grid, x)
    assert found.shape == (3, 1, 6)
    for row, arch in zip(found, ARCHS, strict=True):
        assert torch.equal(row[0, : arch.hidden], token.weight[0, 0, : arch.hidden])
        assert not row[0, arch.hidden :].any()
    with axes.masked(NARROW):
        assert enn.align(token, x).shape == (1, 1, 6)


@pytest.mark.parametrize("arch", ARCHS, ids=str)
def test_align_is_right_in_every_other_scope(arch):
    axes = Sizes.axes()
    p, x = parameter(axes.hidden), normal(2, 3, 6)
    sliced, own = x[..., : arch.hidden], p.weight[: arch.hidden]
    with axes.at(arch):
        torch.testing.assert_close(sliced * enn.align(p, sliced), sliced * own)
    with axes.masked(arch):
        torch.testing.assert_close((x * enn.align(p, x))[..., : arch.hidden], sliced * own)
        assert not (x * enn.align(p, x))[..., arch.hidden :].any()
    shares = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    m = torch.tensor([1, 1, 1, 0.8, 0.5, 0.5], dtype=torch.float64)
    with axes.relaxed({"hidden": shares}):
        torch.testing.assert_close(x * enn.align(p, x), x * p.weight * m)
    torch.testing.assert_close(x * enn.align(p, x), x * p.weight)


# ---- like the tensor it stands for


OPERATORS = {
    "p + 1": lambda p: p + 1,
    "1 + p": lambda p: 1 + p,
    "p - 1": lambda p: p - 1,
    "1 - p": lambda p: 1 - p,
    "2 * p": lambda p: 2 * p,
    "p / 2": lambda p: p / 2,
    "1 / p": lambda p: 1 / p,
    "p // 2": lambda p: p // 2,
    "3 // p": lambda p: 3 // p,
    "p % 2": lambda p: p % 2,
    "3 % p": lambda p: 3 % p,
    "p ** 2": lambda p: p**2,
    "2 ** p": lambda p: 2**p,
    "p @ p": lambda p: p @ p,
    "-p": lambda p: -p,
    "+p": lambda p: +p,
    "abs": abs,
    "p < q": lambda p: p < 0.1,
    "p <= q": lambda p: p <= 0.1,
    "p > q": lambda p: p > 0.1,
    "p >= q": lambda p: p >= 0.1,
    "p == 0": lambda p: p == 0,
    "p != 0": lambda p: p != 0,
    "both": lambda p: (p > 0) & (p < 1),
    "p[1]": lambda p: p[1],
    "p[-1]": lambda p: p[-1],
    "p[None]": lambda p: p[None],
    "p[mask]": lambda p: p[torch.tensor([True, False, True])],
    "len": lambda p: torch.tensor(len(p)),
    "iter": lambda p: torch.stack(list(p)),
    "unpacked": lambda p: torch.stack([*p]),
    "sum": sum,
    "max": max,
    "float of one": lambda p: torch.tensor(float(p[0])),
    "p.T": lambda p: p[None].T,
    "p.shape": lambda p: torch.tensor(p.shape),
    "p.dtype": lambda p: torch.zeros((), dtype=p.dtype),
    "p.size()": lambda p: torch.tensor(p.size(0)),
    "p.detach()": lambda p: p.detach(),
    "p.tolist()": lambda p: torch.tensor(p.tolist()),
    "p.clone()": lambda p: p.clone(),
    "p.exp()": lambda p: p.exp(),
    "p.to(dtype)": lambda p: p.to(torch.float32),
    "p.to(other)": lambda p: p.to(torch.zeros(1, dtype=torch.float16)),
    "p.type": lambda p: p.type(torch.int64),
    "p.type_as": lambda p: p.type_as(torch.zeros(1)),
    "p.half()": lambda p: p.half(),
    "p.float()": lambda p: p.float(),
    "p.double()": lambda p: p.double(),
    "p.bfloat16()": lambda p: p.bfloat16(),
    "p.cpu()": lambda p: p.cpu(),
    "p.int()": lambda p: p.int(),
    "p.long()": lambda p: p.long(),
    "p.bool()": lambda p: p.bool(),
    "p.requires_grad": lambda p: torch.tensor(p.requires_grad),
    "torch.softmax": lambda p: torch.softmax(p, -1),
    "torch.equal": lambda p: torch.tensor(torch.equal(p, p)),
    "torch.zeros_like": torch.zeros_like,
    "torch.outer": lambda p: torch.outer(p, p),
    "F.normalize": lambda p: F.normalize(p, dim=0),
    "math.fsum": lambda p: torch.tensor(math.fsum(p)),
    "numpy": lambda p: torch.from_numpy(p.detach().numpy().copy()),
}


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning")
@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("scope", ["slice", "mask"])
def test_operators_are_those_of_the_active_tensor(name, scope):
    axes = Sizes.axes()
    p = parameter(axes.hidden)
    before = p.weight.detach().clone()
    if scope == "slice":
        tensor, opened = p.weight[:3], axes.at(NARROW)
    else:
        tensor, opened = p.weight, axes.masked(WIDE)
        if name == "p[mask]":
            return
    expected = OPERATORS[name](tensor)
    with opened:
        found = OPERATORS[name](p)
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected)
    assert isinstance(p.weight, nn.Parameter) and p.weight.dtype == torch.float64 and torch.equal(p.weight, before)


CONVERSIONS = {
    "to a dtype": lambda p, x: p.to(torch.bfloat16),
    "to the input's": lambda p, x: p.to(x.dtype),
    "to the input": lambda p, x: p.to(x),
    "half": lambda p, x: p.half(),
    "float": lambda p, x: p.float(),
    "double": lambda p, x: p.double(),
    "bfloat16": lambda p, x: p.bfloat16(),
    "type": lambda p, x: p.type(torch.float16),
    "cpu": lambda p, x: p.cpu(),
    "a device": lambda p, x: p.to("meta"),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions_in_a_forward_leave_the_master_weight(name):
    axes = Sizes.axes()
    p, x = parameter(axes.hidden), normal(2, 3)
    held = p.weight
    before = held.detach().clone()
    for scope in (axes.at(NARROW), axes.masked(NARROW)):
        with scope, torch.autocast("cpu", dtype=torch.bfloat16):
            CONVERSIONS[name](p, x)
    assert p.weight is held and held.dtype == torch.float64 and held.device.type == "cpu" and torch.equal(held, before)


def test_a_conversion_passes_gradients_to_the_master_weight():
    axes = Sizes.axes()
    p = parameter(axes.hidden)
    with axes.at(NARROW):
        (p.float() * 2).sum().backward()
    assert p.weight.grad.dtype == torch.float64 and p.weight.grad.tolist() == [2, 2, 2, 0, 0, 0]


def test_a_model_that_holds_it_is_still_converted():
    axes = Sizes.axes()
    model = nn.ModuleList([parameter(axes.hidden)])
    for convert, dtype in (
        (nn.Module.half, torch.float16),
        (nn.Module.float, torch.float32),
        (lambda m: m.to(torch.bfloat16), torch.bfloat16),
        (nn.Module.double, torch.float64),
    ):
        convert(model)
        assert model[0].weight.dtype == dtype
    model.to("meta")
    assert model[0].weight.device.type == "meta"


def test_a_model_that_holds_it_is_a_module_in_every_other_way():
    axes = Sizes.axes()
    p = parameter(axes.hidden)
    model = nn.ParameterDict({"scale": p})
    assert [name for name, _ in model.named_parameters()] == ["scale.weight"]
    assert list(model.state_dict()) == ["scale.weight"]
    model.requires_grad_(False)
    assert not p.weight.requires_grad
    model.train(False)
    assert not p.training and "hidden" in repr(p)
    again = copy.deepcopy(p)
    assert again.weight is not p.weight and torch.equal(again.weight, p.weight)


class Scaled(nn.Module):
    """Under autocast the parameter follows the activation, as LayerScale is often written."""

    def __init__(self, sizes):
        super().__init__()
        self.linear, self.scale = enn.Linear(4, sizes.hidden), enn.Parameter(sizes.hidden, std=1.0)

    def forward(self, x):
        h = self.linear(x)
        return h + self.scale.to(h.dtype) * h


def test_autocast_is_the_same_before_and_after_extraction():
    axes = Sizes.axes()
    torch.manual_seed(0)
    model = nn.ModuleList([Scaled(axes), enn.FeedForward(axes.hidden, axes.inner), enn.Linear(2, 3 * axes.heads)])
    plain = extract(model, NARROW)
    x = normal(2, 4).float()
    with torch.autocast("cpu", dtype=torch.bfloat16), axes.at(NARROW):
        first, second = model[0](x), model[0](x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(plain[0](x), first) and torch.equal(first, second)
    assert model[0].scale.weight.dtype == torch.float32


def test_initialisers_reach_the_weight_outside_of_scopes():
    p = parameter(Sizes.axes().hidden)
    nn.init.constant_(p, 2.5)
    assert (p.weight == 2.5).all()
    with torch.no_grad():
        p.zero_()
        p.add_(1)
    assert (p.weight == 1).all()


@pytest.mark.parametrize("change", [lambda p: p.zero_(), lambda p: p.copy_(torch.ones(6)), lambda p: nn.init.ones_(p)])
def test_changes_in_place_in_a_mask_scope_reach_the_weight_or_are_refused(change):
    axes = Sizes.axes()
    p = parameter(axes.hidden)
    before = p.weight.detach().clone()
    with axes.masked(NARROW), torch.no_grad():
        try:
            change(p)
        except (AxisError, TypeError, RuntimeError):
            return
    assert not torch.equal(p.weight, before)


def test_items_are_not_assigned_without_a_word():
    p = parameter(Sizes.axes().hidden)
    with pytest.raises(TypeError):
        p[0] = 1.0


def test_it_is_a_key_by_identity():
    axes = Sizes.axes()
    one, two = parameter(axes.hidden), parameter(axes.hidden)
    assert {one: 1, two: 2}[two] == 2 and len({one, two, one}) == 2


def test_it_is_a_weak_key_by_identity():
    axes = Sizes.axes()
    one, two = parameter(axes.hidden), parameter(axes.hidden)
    weak = weakref.WeakKeyDictionary({one: 1, two: 2})
    assert weak[two] == 2 and one in weak and len(weakref.WeakSet([one, two, one])) == 2


def test_pickled_it_comes_back_with_axes_of_its_own():
    p = parameter(Sizes.axes().hidden)
    again = pickle.loads(pickle.dumps(p))
    with again.sizes[0].axes.at(NARROW):
        torch.testing.assert_close(again + 0, p.weight[:3])


def test_unknown_attributes_are_an_attribute_error():
    p = parameter(Sizes.axes().hidden)
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = p.no_such_thing
    assert not hasattr(p, "__array_priority__") or p.__array_priority__ == torch.zeros(1).__array_priority__
