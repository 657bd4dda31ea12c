"""What a forward pass, or a user, does to a model besides computing: writes, noise, flags, new modules."""

import copy
import random
from typing import Literal

import pytest
import torch
from torch import nn

from elasticnas import Space, bind, elastify, extract, load, save
from elasticnas.errors import AxisError, CheckpointError, ConfigError, ExtractionError, InactiveChoiceError
from tests.elastic.test_kinds import IDS, Keep, Stack, Three, gemma


class Hidden(Space):
    hidden: Literal[16, 8]


class Writer(nn.Module):
    def __init__(self, hidden, how="add_"):
        super().__init__()
        self.up, self.down, self.how = nn.Linear(4, hidden), nn.Linear(hidden, 4), how
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        if self.how == "data":
            self.up.weight.data.mul_(2)
        elif self.how == "out":
            torch.mul(self.up.weight.detach(), 2, out=self.up.weight.detach())
        elif self.how == "foreach":
            torch._foreach_mul_([self.down.bias.detach(), self.up.weight.detach()], 2.0)
        elif self.how == "train" and self.training:
            with torch.no_grad():
                self.up.weight[0] = 0
        return self.down(torch.relu(self.up(x)))


@pytest.mark.parametrize("how", ["data", "out", "foreach"])
def test_a_forward_that_writes_to_weights_is_refused_by_the_proof(how):
    with pytest.raises(AxisError, match=r"^the forward pass writes to .*, which all sub-networks"):
        elastify(lambda hidden: Writer(hidden, how), Hidden)


@pytest.mark.parametrize("arch", [Hidden(hidden=8), Hidden(hidden=16)])
@pytest.mark.parametrize("how", ["data", "out", "foreach", "train"])
def test_a_forward_that_writes_to_weights_is_refused_before_it_does(how, arch):
    """Also by a way that the proof has not seen."""
    model = elastify(Writer, Hidden)
    before, x = copy.deepcopy(model.network.state_dict()), torch.randn(2, 4)
    del before["calls"]
    model.network.how = how
    model.train(how == "train")
    for _ in range(2):  # refused again, not once
        with (
            model.at(arch),
            pytest.raises(AxisError, match=r"^the forward pass writes to .*, which all sub-networks"),
        ):
            model(x)
    if arch.hidden == 8:
        with pytest.raises(AxisError, match="writes to"):
            bind(model, arch)(x)
    assert all(torch.equal(model.network.state_dict()[name], value) for name, value in before.items())


def test_buffers_may_change_and_gradients_flow():
    model = elastify(Writer, Hidden).train()
    for _ in range(2):
        with model.at(Hidden(hidden=8)):
            model(torch.randn(2, 4)).sum().backward()
    assert model.network.calls == 2 and model.network.up.weight.grad[:8].abs().sum() > 0


def test_rwkv_that_rescales_its_weights_is_refused():
    from transformers import RwkvConfig, RwkvModel

    def build(hidden, every=2):
        sizes = {"hidden_size": 4 * hidden, "attention_hidden_size": 4 * hidden, "intermediate_size": 64}
        return RwkvModel(RwkvConfig(vocab_size=31, num_hidden_layers=4, rescale_every=every, **sizes))

    with pytest.raises(AxisError, match=r"writes to blocks\.\d\.attention\.output\.weight \(div_\)"):
        elastify(build, Hidden)
    example = {"input_ids": IDS, "use_cache": False}
    plain = elastify(lambda hidden: build(hidden, 0), Hidden, example=example).eval()
    with torch.no_grad(), plain.at(Hidden(hidden=8)):
        plain(IDS)


def test_a_forward_that_draws_noise_is_compared_on_the_same_draws():
    from transformers import ViTMAEConfig, ViTMAEModel

    def build(hidden):
        return ViTMAEModel(
            ViTMAEConfig(
                hidden_size=hidden, num_attention_heads=hidden // 8, intermediate_size=48, num_hidden_layers=1,
                image_size=16, patch_size=4,
            )
        )  # fmt: skip

    model = elastify(build, Hidden).eval()
    state, drawn = torch.get_rng_state(), random.getstate()
    plain = extract(model, Hidden(hidden=8), {"pixel_values": torch.randn(2, 3, 16, 16, generator=torch.Generator())})
    assert torch.equal(torch.get_rng_state(), state) and random.getstate() == drawn
    assert plain.config.hidden_size == 8


def test_draws_of_a_generator_that_cannot_be_restored_are_named():
    class Noisy(Writer):
        def __init__(self, hidden):
            super().__init__(hidden, None)
            self.noise = iter(range(1, 1000))

        def forward(self, x):
            return super().forward(x) + next(SHARED)

    SHARED = iter(range(1, 1000))
    model = elastify(lambda hidden: Noisy(hidden), Hidden).eval()
    with pytest.raises(ExtractionError, match="gives another output for the same example, weights and random seed"):
        extract(model, Hidden(hidden=8), torch.randn(2, 4))


class Rates(Space):
    rate: Literal[0.3, 0.0]
    hidden: Literal[16, 8]


@pytest.mark.parametrize("layer", [nn.Dropout, nn.LeakyReLU])
def test_a_float_that_reaches_an_attribute_is_an_effect(layer):
    def build(rate, hidden):
        return nn.Sequential(nn.Linear(4, hidden), layer(rate), nn.Linear(hidden, 2))

    model, x = elastify(build, Rates).train(), torch.randn(50, 4)
    first, last = model.network[0], model.network[2]
    with model.at(Rates(rate=0.0, hidden=8)):
        y = first.weight[:8] @ x.T + first.bias[:8, None]
        expected = (last.weight[:, :8] @ (y if layer is nn.Dropout else y.relu())).T + last.bias
        torch.testing.assert_close(model(x), expected)
    with pytest.raises(InactiveChoiceError, match="rate has no effect"):
        elastify(lambda rate, hidden: build(0.1, hidden), Rates)


def test_a_function_is_an_effect():
    class Acts(Space):
        act: Literal["relu", "tanh"]

    class Act(nn.Module):
        def __init__(self, act):
            super().__init__()
            self.run, self.linear = {"relu": torch.relu, "tanh": torch.tanh}[act], nn.Linear(3, 3)

        def forward(self, x):
            return self.run(self.linear(x))

    model, x = elastify(Act, Acts), torch.randn(2, 3)
    with model.at(Acts(act="tanh")):
        assert torch.equal(model(x), torch.tanh(model.network.linear(x)))


@pytest.mark.parametrize("registered", [True, False])
def test_a_mask_on_the_device_of_a_weight(registered):
    class Masked(nn.Module):
        def __init__(self, hidden):
            super().__init__()
            self.up = nn.Linear(hidden, hidden)
            mask = torch.ones(hidden, hidden, device=self.up.weight.device).tril()
            if registered:
                self.register_buffer("mask", mask)
            else:
                self.mask = mask

        def forward(self, x):
            return self.mask @ self.up(x)

    if registered:
        example = lambda arch: torch.randn(arch.hidden, arch.hidden, dtype=torch.float64)  # noqa: E731
        model = elastify(Masked, Hidden, {"mask": "_ _"}, example=example)
    else:  # a plain attribute keeps its dtype, so that the model does not run in float64
        model = elastify(Masked, Hidden, assume=True)
    x = torch.randn(8, 8)
    up = model.network.up
    with model.at(Hidden(hidden=8)):
        expected = torch.ones(8, 8).tril() @ (x @ up.weight[:8, :8].T + up.bias[:8])
        torch.testing.assert_close(model(x), expected)


class LoRA(nn.Module):
    def __init__(self, base, rank=2):
        super().__init__()
        self.base, self.a = base, nn.Linear(base.in_features, rank, bias=False)
        self.b = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.b(self.a(x))


def net(hidden):
    return nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 2))


def test_adapters_added_inside_build_are_part_of_the_model():
    def build(hidden):
        model = net(hidden).requires_grad_(False)
        model[0], model[2] = LoRA(model[0]), LoRA(model[2])
        return model

    model, x = elastify(build, Hidden), torch.randn(5, 4)
    up, down = model.network[0], model.network[2]
    with model.at(Hidden(hidden=8)):
        model(x).sum().backward()
        y = torch.relu(x @ up.base.weight[:8].T + up.base.bias[:8] + x @ up.a.weight.T @ up.b.weight[:8].T)
        expected = y @ down.base.weight[:, :8].T + down.base.bias + y @ down.a.weight[:, :8].T @ down.b.weight.T
        torch.testing.assert_close(model(x), expected)
    assert up.base.weight.grad is None and up.b.weight.grad[:8].abs().sum() > 0
    assert not extract(model, Hidden(hidden=8), x)[0].base.weight.requires_grad


def adapt(model):
    model.network[0] = LoRA(model.network[0])


def extend(model):
    model.network[0].register_parameter("scale", nn.Parameter(torch.ones(16)))


def exchange(model):
    model.network[1] = nn.GELU()


def patch(model):
    model.network[0].forward = lambda x: x


def parametrize(model):
    nn.utils.parametrizations.weight_norm(model.network[0])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (adapt, r"has no 0\.weight any more and has 0\.base\.weight, which build did not make"),
        (extend, r"has 0\.scale, which build did not make"),
        (exchange, "has GELU for the ReLU 1"),
        (patch, "has another forward in 0"),
        (parametrize, r"has no 0\.weight any more and has 0\.parametrizations"),
    ],
)
def test_what_is_changed_later_is_refused_with_the_way_out(change, line):
    model = elastify(net, Hidden)
    change(model)
    with (
        pytest.raises(ConfigError, match=rf"^model\.network {line}.*change modules, such as by adapters, inside build"),
        model.at(Hidden(hidden=8)),
    ):
        model(torch.randn(2, 4))


def test_gradient_checkpointing_reaches_sub_networks():
    class Inner(Space):
        inner: Literal[48, 24]

    model = elastify(lambda inner: gemma(2, inner), Inner).train()
    arch, calls = Inner(inner=24), []

    def counted(function, *args, **kwargs):
        calls.append(function)
        return function(*args, **kwargs)

    def run():
        calls.clear()
        with model.at(arch):
            model(IDS, use_cache=False)
        return len(calls)

    assert run() == 0
    model.network.gradient_checkpointing_enable({"use_reentrant": False})
    for module in model.network.modules():
        if hasattr(module, "_gradient_checkpointing_func"):
            module._gradient_checkpointing_func = counted
    assert run() == 2
    model.network.gradient_checkpointing_disable()
    assert run() == 0


def test_settings_of_the_network_reach_sub_networks_and_sizes_do_not():
    class Inner(Space):
        inner: Literal[48, 24]

    model = elastify(lambda inner: gemma(2, inner), Inner).eval()
    network = model.network
    with model.at(Inner(inner=24)):
        assert model(IDS).hidden_states is None
        network.config.output_hidden_states = True
        assert len(model(IDS).hidden_states) == 3
        network.config.output_hidden_states = False
        assert model(IDS).hidden_states is None
    network.model.layers[0].mlp.intermediate_size = 7
    network.model.layers[0].self_attn.attention_dropout = 0.25
    small = bind(model, Inner(inner=24))
    assert small.model.layers[0].mlp.intermediate_size == 24 and small.config.intermediate_size == 24
    assert small.model.layers[0].self_attn.attention_dropout == 0.25
    assert small.model.layers[1].self_attn.attention_dropout == 0.0


class Alternating(Stack):
    """The loop over the layers, not the layers, knows which one is of which kind."""

    def forward(self, x):
        for number, layer in enumerate(self.layers):
            x = layer(x) if number % 2 else layer(x).flip(-1)
        return x


def test_loops_that_depend_on_positions_are_found():
    x = torch.randn(2, 6)
    with pytest.raises(AxisError, match=r"code around layers depends on the layers' positions"):
        elastify(Alternating, Keep, {"layers": "keep"})
    extract(elastify(Stack, Keep, {"layers": "keep"}).eval(), Keep(inner=24, keep=(False, True, True, True)), x)


def test_networks_of_kept_kinds_are_loaded_by_the_supernets_build(tmp_path):
    def build(depth):
        return Stack(depth, 8)

    model, x = elastify(build, Three, {"layers": "keep"}).eval(), torch.randn(2, 6)
    for keep in ((False, True, True), (True, True, False)):
        plain = extract(model, Three(keep=keep), x)
        save(plain, Three(keep=keep), tmp_path)
        assert torch.equal(load(tmp_path, model.build).eval()(x), plain(x))
        if keep[0]:
            assert torch.equal(load(tmp_path, build).eval()(x), plain(x))
        else:
            with pytest.raises(
                CheckpointError, match=r"its layers are \{'layers': \[1, 2\]\} of a supernet, and build"
            ):
                load(tmp_path, build)
