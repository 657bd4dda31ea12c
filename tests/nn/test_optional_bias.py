"""OptionalBias against attention with and without the bias, and when it needs times."""

import pytest
import torch

import elasticnas
import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.cost import Flops, Params
from elasticnas.errors import AxisError, ConfigError


class Switch(Space):
    biased: bool
    shifted: bool


TIMES = torch.tensor([[0, 3, 3, 5000, 90_000], [7, 1, 10**6, 10**6 + 1, 2 * 10**6]])


def attention(kind, relative):
    torch.manual_seed(0)
    if kind == "pointwise":
        made = enn.PointwiseAttention(5, 2, 3, length=6, causal=True, relative=relative)
    else:
        made = enn.Attention(5, 2, 3, causal=True, relative=relative)
    return made.double().eval()


def pair(kind):
    """Attention with an optional bias, and attention with the same bias in any case."""
    axes = Switch.axes()
    bias = enn.RelativeBias(buckets=30, causal=True)
    torch.nn.init.normal_(bias.times)
    return axes, attention(kind, enn.OptionalBias(bias, axes.biased)), attention(kind, bias)


def without(kind):
    return attention(kind, None)


def inputs():
    return torch.randn(2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["softmax", "pointwise"])
def test_with_and_without_it(kind):
    axes, optional, always = pair(kind)
    never, x = without(kind), inputs()
    never.load_state_dict(always.state_dict(), strict=False)
    with axes.at(Switch(biased=True, shifted=False)):
        torch.testing.assert_close(optional(x, times=TIMES), always(x, times=TIMES), rtol=0, atol=1e-12)
        with pytest.raises(ConfigError, match="give times"):
            optional(x)
    off = Switch(biased=False, shifted=False)
    for scope in (axes.at(off), axes.masked(off)):
        with scope:
            for given in (None, TIMES):
                torch.testing.assert_close(optional(x, times=given), never(x), rtol=0, atol=1e-12)
    assert (always(x, times=TIMES) - never(x)).abs().max() > 1e-2


def test_a_relaxed_bias_is_multiplied_by_its_weight():
    axes, optional, always = pair("softmax")
    with torch.no_grad():
        always.relative.times.mul_(0.25)
    expected = always(inputs(), times=TIMES)
    with torch.no_grad():
        always.relative.times.mul_(4)
    assert Switch.choices()["biased"] == (True, False)
    share = torch.tensor([0.25, 0.75], dtype=torch.float64, requires_grad=True)
    with axes.relaxed({"biased": share, "shifted": torch.tensor([1.0, 0.0])}):
        found = optional(inputs(), times=TIMES)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        with pytest.raises(ConfigError, match="give times"):
            optional(inputs())
    found.sum().backward()
    assert share.grad is not None and share.grad[0] != 0


@pytest.mark.parametrize("kind", ["softmax", "pointwise"])
@pytest.mark.parametrize("biased", [True, False])
def test_steps_equal_the_forward_pass(kind, biased):
    axes, optional, _ = pair(kind)
    arch, x = Switch(biased=biased, shifted=False), inputs()
    one_hot = {"biased": torch.tensor([float(biased), 1.0 - biased]), "shifted": torch.tensor([1.0, 0.0])}
    for scope in (axes.at(arch), axes.relaxed(one_hot)):
        with scope, torch.no_grad():
            whole = optional(x, times=TIMES)
            state = optional.remember(x[:, :3], times=TIMES[:, :3], length=6)
            for n in (3, 4):
                step, state = optional.step(x[:, n : n + 1], state, TIMES[:, n])
                torch.testing.assert_close(step, whole[:, n : n + 1], rtol=0, atol=1e-10)
    if not biased:
        with axes.at(arch), torch.no_grad():
            state = optional.remember(x[:, :3], length=6)
            step, _ = optional.step(x[:, 3:4], state)
            torch.testing.assert_close(step, whole[:, 3:4], rtol=0, atol=1e-10)


class Net(torch.nn.Module):
    def __init__(self, sizes, relative):
        super().__init__()
        self.attention = attention("softmax", relative)
        self.skip = enn.DepthSkip(torch.nn.Identity(), sizes.shifted)

    def forward(self, x, times=None):
        return self.skip(self.attention(x, times=times))


def test_what_is_not_used_costs_nothing():
    axes = Switch.axes()
    model = Net(axes, enn.OptionalBias(enn.RelativeBias(buckets=30, causal=True), axes.biased))
    on, off = (Switch(biased=biased, shifted=True) for biased in (True, False))
    assert Params(model)(on) - Params(model)(off) == 30
    plain = elasticnas.extract(model, off, inputs())
    assert not [name for name, _ in plain.named_parameters() if "times" in name]
    assert torch.equal(plain(inputs()), plain(inputs(), TIMES))
    assert Flops(model, (inputs(), TIMES))(off) == Flops(model, (inputs(), TIMES))(on)
    with axes.at(off):
        assert {id(each) for each in enn.idle_parameters(model)} == {id(model.attention.relative.bias.times)}


def test_another_choice_is_refused():
    bias = enn.RelativeBias(buckets=4)
    with pytest.raises(AxisError, match=r"alive=2 has the options \[2\]: give a bool"):
        enn.OptionalBias(bias, 2)
    with pytest.raises(ConfigError, match="give both the same"):
        enn.Attention(4, 2, 2, causal=True, relative=enn.OptionalBias(bias, True))
