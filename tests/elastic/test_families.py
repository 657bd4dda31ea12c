"""An elastified model equals the separately built small model, for every family, exactly."""

import copy
import functools
import random
from typing import Literal

import pytest
import torch
from torch import nn

from elasticnas import Space, elastify, extract
from elasticnas.cost import Flops, Params
from tests.elastic.families import CASES, built, places


@functools.cache
def elastified(case):
    build, space, rules = CASES[case][:3]
    torch.manual_seed(0)
    return elastify(build, space, rules).double().eval()


def supernet(case):
    model = copy.deepcopy(elastified(case))
    for name, parameter in model.network.named_parameters():  # start values of norms and biases hide mistakes
        torch.nn.init.normal_(parameter, 1.0 if "norm" in name.lower() or "ln_" in name else 0.0, 0.3)
    return model


def architectures(space):
    rng = random.Random(0)
    return [space.largest(), space.smallest(), *(space.sample(rng) for _ in range(3))]


def small_model(case, model, arch):
    """Built by itself, filled with the units that it should have."""
    small, full = built(case, arch).double().eval(), dict(model.network.named_parameters())
    with torch.no_grad():
        for name, parameter in small.named_parameters():
            index = places(case, name, tuple(full[name].shape), tuple(parameter.shape), arch)
            parameter.copy_(full[name].detach()[index])
    return small


def first(output):
    return output if isinstance(output, torch.Tensor) else output[0]


@pytest.mark.parametrize("case", CASES)
def test_equals_the_separately_built_small_model_forward_and_gradients(case):
    model, inputs = supernet(case), CASES[case][3]
    for arch in architectures(CASES[case][1]):
        small, given = small_model(case, model, arch), inputs(arch)
        expected = first(small(**given))
        model.zero_grad(set_to_none=True)
        with model.at(arch):
            output = first(model(**given))
        assert torch.equal(output, expected), (arch, (output - expected).abs().max())
        weight = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).reshape(expected.shape)
        (expected * weight).sum().backward()
        (output * weight).sum().backward()
        full = dict(model.network.named_parameters())
        own = dict(small.named_parameters())
        for name, parameter in full.items():
            gradient = torch.zeros_like(parameter)
            if name in own and own[name].grad is not None:
                index = places(case, name, tuple(parameter.shape), tuple(own[name].shape), arch)
                gradient[index] = own[name].grad
            found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.testing.assert_close(found, gradient, rtol=1e-12, atol=1e-14, msg=f"{name} {arch}")


@pytest.mark.parametrize("case", CASES)
def test_extracted_network_is_the_users_own_class_and_computes_the_same(case):
    model, inputs = supernet(case), CASES[case][3]
    for arch in architectures(CASES[case][1])[:3]:
        plain = extract(model, arch, inputs(arch))
        small = small_model(case, model, arch)
        assert type(plain) is type(small)
        wanted, found = small.state_dict(), plain.state_dict()
        assert wanted.keys() == found.keys()
        assert all(torch.equal(wanted[name], found[name]) for name in wanted)
        assert torch.equal(first(plain(**inputs(arch))), first(small(**inputs(arch))))


@pytest.mark.parametrize("case", CASES)
def test_costs_are_those_of_the_separately_built_model(case):
    from torch.utils.flop_counter import FlopCounterMode

    model, space, inputs = supernet(case), CASES[case][1], CASES[case][3]
    flops, params = Flops(model, inputs), Params(model)
    for arch in (space.largest(), space.smallest()):
        small = built(case, arch).double().eval()
        assert params(arch) == sum(parameter.numel() for parameter in small.parameters())
        with FlopCounterMode(display=False) as counter, torch.device("meta"), torch.no_grad():
            small.to("meta")(**{name: value.to("meta") for name, value in inputs(arch).items()})
        assert flops(arch) == counter.get_total_flops() > 0


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_is_covered(case):
    model = supernet(case)
    coverage = model.coverage()
    assert {layout.name for layout in coverage.layouts} >= {name for name, _ in model.network.named_parameters()}
    assert not coverage.open
    fixed = {layout.name for layout in coverage.fixed}
    assert not any(name in fixed for name, _ in model.network.named_parameters())


class Keys(nn.Module):
    """torch's attention with keys and values of another width, and a bias among the keys and values."""

    def __init__(self, hidden, width):
        super().__init__()
        self.embed = nn.Linear(3, hidden)
        widths = {"kdim": 6, "vdim": 6} if width else {}
        self.attention = nn.MultiheadAttention(hidden, 4, add_bias_kv=not width, batch_first=True, **widths)

    def forward(self, x, context):
        x = self.embed(x)
        return self.attention(x, context, context)[0] if context is not None else self.attention(x, x, x)[0]


class Hidden(Space):
    hidden: Literal[16, 8]


@pytest.mark.parametrize("width", [True, False])
def test_every_form_of_torchs_attention_keeps_its_heads_whole(width):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 3, generator=generator).double()
    context = torch.randn(2, 5, 6, generator=generator).double() if width else None
    model = elastify(functools.partial(Keys, width=width), Hidden, example=(x, context)).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    small, full = Keys(8, width).double().eval(), dict(model.network.named_parameters())
    units = torch.arange(16).unflatten(0, (4, 4))[:, :2].flatten()
    fused = torch.arange(48).unflatten(0, (3, 4, 4))[:, :, :2].flatten()
    index = {
        "embed.weight": (slice(8),),
        "embed.bias": (slice(8),),
        **{f"attention.{name}_proj_weight": (units,) for name in "kv"},
        "attention.q_proj_weight": (units, slice(8)),
        "attention.in_proj_weight": (fused, slice(8)),
        "attention.in_proj_bias": (fused,),
        "attention.out_proj.weight": (slice(8), units),
        "attention.out_proj.bias": (slice(8),),
        **{f"attention.bias_{name}": (..., units) for name in "kv"},
    }
    with torch.no_grad():
        for name, parameter in small.named_parameters():
            parameter.copy_(full[name][index[name]])
    with model.at(Hidden(hidden=8)):
        # the part of the bias for keys has no effect, and may be that of other units: equal but for rounding
        torch.testing.assert_close(model(x, context), small(x, context), rtol=1e-12, atol=1e-12)
