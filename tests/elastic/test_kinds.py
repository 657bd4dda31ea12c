"""Layers that a sub-network keeps stay the kind of layer that they are in the supernet."""

import itertools
import warnings
from typing import Annotated, Literal

import pytest
import torch
from pydantic import model_validator
from torch import nn

from elasticnas import PerLayer, Space, bind, elastify, extract, load, save
from elasticnas.elastic.weights import load_weights
from elasticnas.errors import AxisError, CheckpointError, ConfigError

IDS = torch.tensor([[3, 7, 1, 30, 5, 8], [9, 9, 2, 4, 6, 11]])


class Keep(Space):
    inner: Literal[48, 24]
    keep: Annotated[tuple[bool, ...], PerLayer(4)]

    @property
    def depth(self) -> int:
        return sum(self.keep)

    @model_validator(mode="after")
    def some(self):
        if not any(self.keep):
            raise ValueError("keep a layer")
        return self


def bypassed(model, stack, arch, x, output):
    """By hand: the network with its inner size, in which each dropped layer hands on what it gets."""
    whole = extract(model, arch.model_copy(update={"keep": (True,) * 4})).eval()
    for layer, alive in zip(whole.get_submodule(stack), arch.keep, strict=True):
        if not alive:
            layer.forward = lambda hidden_states, *args, **kwargs: hidden_states
    return getattr(whole(x), output)


def gemma(depth, inner):
    from transformers import Gemma2Config, Gemma2ForCausalLM

    return Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=31, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
            intermediate_size=inner, num_hidden_layers=depth, sliding_window=2,
        )
    )  # fmt: skip


def modern(depth, inner):
    from transformers import ModernBertConfig, ModernBertModel

    return ModernBertModel(
        ModernBertConfig(
            vocab_size=31, hidden_size=32, num_attention_heads=4, intermediate_size=inner, num_hidden_layers=depth,
            pad_token_id=0, global_attn_every_n_layers=2, local_attention=2, attn_implementation="eager",
            initializer_range=0.5,
        )
    )  # fmt: skip


CASES = [
    (gemma, "model.layers", "logits", {"*.gate_proj.weight": "_ _"}),
    (modern, "layers", "last_hidden_state", {"*.Wi.weight": "(2 inner) _"}),
]
KEPT = [(False, True, False, True), (False, True, True, True), (True, False, False, True), (False, False, True, False)]


@pytest.mark.filterwarnings("ignore:.*does not describe its kept layers")
@pytest.mark.parametrize("keep", KEPT)
@pytest.mark.parametrize(("build", "stack", "output", "rules"), CASES)
def test_alternating_layers_compute_as_in_the_full_network(build, stack, output, rules, keep):
    torch.manual_seed(0)
    model = elastify(build, Keep, {stack: "keep", **rules}).eval()
    arch = Keep(inner=24, keep=keep)
    expected = bypassed(model, stack, arch, IDS, output)
    with model.at(arch), torch.no_grad():
        torch.testing.assert_close(getattr(model(IDS), output), expected)
    plain = extract(model, arch, IDS)
    torch.testing.assert_close(getattr(plain(IDS), output), expected)
    kinds = plain.config.layer_types
    assert kinds == [model.network.config.layer_types[number] for number, alive in enumerate(keep) if alive]


def test_kept_layers_number_their_caches_and_generate():
    model = elastify(gemma, Keep, {"model.layers": "keep"}).eval()
    network = bind(model, Keep(inner=48, keep=(False, True, False, True)))
    assert [layer.self_attn.layer_idx for layer in network.model.layers] == [0, 1]
    options = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    cached, plain = (network.generate(IDS, **options, use_cache=use) for use in (True, False))
    assert torch.equal(cached, plain)


def test_what_is_kept_survives_save_pretrained(tmp_path):
    from transformers import AutoModelForCausalLM

    model = elastify(gemma, Keep, {"model.layers": "keep"}).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = extract(model, Keep(inner=24, keep=(False, True, False, True)), IDS)
    plain.save_pretrained(tmp_path)
    torch.testing.assert_close(AutoModelForCausalLM.from_pretrained(tmp_path)(IDS).logits, plain(IDS).logits)


def test_a_config_that_cannot_say_what_is_kept_is_a_warning(tmp_path):
    model = elastify(modern, Keep, {"layers": "keep", "*.Wi.weight": "(2 inner) _"}).eval()
    arch = Keep(inner=24, keep=(False, True, True, False))
    with pytest.warns(
        match=r"config of ModernBertModel does not describe its kept layers.*\(layers\.0\.attn_norm\."
    ) as seen:
        plain = extract(model, arch, IDS)
    assert sum("describe" in str(each.message) for each in seen) == 1
    save(plain, arch, tmp_path)
    assert torch.equal(load(tmp_path, model.build).eval()(IDS)[0], plain(IDS)[0])


class Positions:
    """A config that computes the kinds of its layers from their positions."""

    def __init__(self, depth):
        self.depth = depth

    @property
    def kinds(self):
        return ["even", "odd", "even", "odd"][: self.depth]


def test_lists_that_a_config_computes_cannot_be_kept():
    class Net(Stack):
        def __init__(self, depth, inner):
            super().__init__(depth, inner)
            self.config = Positions(depth)

    line = r"^kinds of Positions follows from the positions of layers, so that it cannot be \['odd', 'even', 'odd'\]"
    with pytest.raises(ConfigError, match=line):
        elastify(Net, Keep, {"layers": "keep"})


class Odd(nn.Module):
    """Layers that differ in what is no parameter: a rate, a function, a class, a computed buffer."""

    def __init__(self, number, inner):
        super().__init__()
        self.number, self.scale = number, 1.0 + number
        self.act = torch.tanh if number % 2 else torch.relu
        self.norm = nn.LayerNorm(6) if number else nn.Identity()
        self.register_buffer("gain", torch.full((6,), 1.0 + 2 * number))
        self.up, self.down = nn.Linear(6, inner), nn.Linear(inner, 6)

    def forward(self, hidden_states):
        return hidden_states + self.scale * self.down(self.act(self.up(self.norm(hidden_states) * self.gain)))


class Stack(nn.Module):
    def __init__(self, depth, inner):
        super().__init__()
        self.layers = nn.ModuleList(Odd(number, inner) for number in range(depth))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Named(Space):
    """The depth is a field of its own, tied by a rule."""

    inner: Literal[8, 4]
    depth: Literal[4, 3, 2, 1]
    keep: Annotated[tuple[bool, ...], PerLayer(4)]

    @model_validator(mode="after")
    def as_many(self):
        if self.depth != sum(self.keep):
            raise ValueError("depth counts the kept layers")
        return self


@pytest.mark.parametrize("space", [Keep, Named])
def test_whatever_differs_between_layers_stays(space):
    model = elastify(Stack, space, {"layers": "keep"}).eval()
    fields = {"inner": space.smallest().inner, "keep": (False, True, True, False)}
    arch = space(**fields, **({"depth": 2} if space is Named else {}))
    x, units = torch.randn(5, 6), arch.inner
    expected = x
    for number in (1, 2):
        layer = model.network.layers[number]
        y = layer.norm(expected) * (1 + 2 * number) @ layer.up.weight[:units].T + layer.up.bias[:units]
        y = torch.tanh(y) if number == 1 else torch.relu(y)
        expected = expected + (1 + number) * (y @ layer.down.weight[:, :units].T + layer.down.bias)
    with model.at(arch):
        torch.testing.assert_close(model(x), expected)
        model(x).sum().backward()
    assert model.network.layers[0].up.weight.grad is None and model.network.layers[1].up.weight.grad is not None
    plain = extract(model, arch, x)
    assert [layer.number for layer in plain.layers] == [0, 1]  # what counts layers counts those that are left
    torch.testing.assert_close(plain(x), expected)


class Last(nn.Module):
    """The last layer has no activation, at any depth."""

    def __init__(self, depth, parallel=False):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 6), nn.Identity() if number == depth - 1 else nn.ReLU())
            for number in range(depth)
        )
        if parallel:
            self.scales = nn.ModuleList(nn.Linear(6, 6) for _ in range(depth))


class Depth(Space):
    depth: Literal[3, 2, 1]


class Three(Space):
    keep: Annotated[tuple[bool, ...], PerLayer(3)]

    @property
    def depth(self) -> int:
        return max(1, sum(self.keep))


def test_a_smaller_depth_that_changes_a_layer_is_refused():
    line = (
        r"^Last\(depth=\d\) makes layers\.\d another kind of layer than the largest model \(1\.class is Identity, not"
    )
    with pytest.raises(ConfigError, match=line):
        elastify(Last, Depth)
    with pytest.raises(ConfigError, match=r"rules=\{'layers': 'keep'\}, which keeps their kinds$"):
        elastify(Last, Depth)


def test_parts_beside_the_chosen_layers_are_asked_for():
    with pytest.raises(
        AxisError, match=r"^scales has 2 of 3 entries when layers of layers are left out, .*: add it to"
    ):
        elastify(lambda depth: Last(depth, parallel=True), Three, {"layers": "keep"})

    class Weighted(Stack):
        def __init__(self, depth):
            super().__init__(depth, 4)
            self.mix = nn.Parameter(torch.ones(depth))

    with pytest.raises(AxisError, match=r"^mix has the shape \(2,\), not \(3,\), when layers of layers are left out"):
        elastify(Weighted, Three, {"layers": "keep"})


def test_no_layer_may_be_kept():
    class Any(Space):
        keep: Annotated[tuple[bool, ...], PerLayer(3)]

        @property
        def depth(self) -> int:
            return sum(self.keep)

    model, x = elastify(lambda depth: Stack(depth, 4), Any, {"layers": "keep"}).eval(), torch.randn(2, 6)
    assert torch.equal(extract(model, Any(keep=(False,) * 3), x)(x), x)


def test_build_makes_as_many_layers_as_are_kept():
    with pytest.raises(ConfigError, match=r"makes 3 layers in layers, but the architecture keeps 2 of 3"):
        elastify(lambda keep: Stack(3, 4 + sum(keep)), Three, {"layers": "keep"})


def test_a_layer_that_alone_has_what_all_need_is_not_dropped():
    from transformers import T5Config, T5EncoderModel

    def build(depth):
        return T5EncoderModel(T5Config(vocab_size=31, d_model=32, num_heads=4, d_kv=8, d_ff=48, num_layers=depth))

    with pytest.raises(
        ConfigError, match=r"encoder\.block\.0 alone has .*relative_attention_bias.*keep this layer always"
    ):
        elastify(build, Three, {"encoder.block": "keep"})


def test_layers_that_compute_with_their_number_are_refused():
    from transformers import GPT2Config, GPT2LMHeadModel

    def build(depth, **more):
        config = GPT2Config(vocab_size=31, n_embd=32, n_head=4, n_inner=48, n_layer=depth, n_positions=16, **more)
        return GPT2LMHeadModel(config)

    with pytest.raises(ConfigError, match=r"scale_attn_by_inverse_layer_idx=True a layer of transformer\.h depends on"):
        elastify(lambda depth: build(depth, scale_attn_by_inverse_layer_idx=True), Three, {"transformer.h": "keep"})
    assert elastify(build, Three, {"transformer.h": "keep"})


class Deep(Space):
    depth: Literal[3, 2, 1]
    inner: Annotated[tuple[Literal[16, 8], ...], PerLayer("depth")]


def hidden_layers(inner):
    widths = [5, *inner]
    return [nn.Linear(*pair) for pair in itertools.pairwise(widths)]


def test_a_head_that_changes_its_number_with_the_depth_is_named():
    line = r"^<lambda>\(.*depth=1.*\) has the Linear 3 of the largest model as 1, the name of a layer there, whose"
    with pytest.raises(ConfigError, match=line):
        elastify(lambda depth, inner: nn.Sequential(*hidden_layers(inner), nn.Linear(inner[-1], 2)), Deep)
    with pytest.raises(ConfigError, match=r"nn\.Sequential\(nn\.Sequential\(\*layers\), head\)$"):
        elastify(lambda depth: nn.Sequential(*(nn.Linear(6, 6) for _ in range(depth)), nn.Linear(6, 2)), Depth)

    model = elastify(
        lambda depth: nn.Sequential(nn.Sequential(*(nn.Linear(6, 6) for _ in range(depth))), nn.Linear(6, 2)), Depth
    )
    x, (layers, head) = torch.randn(4, 6), model.network
    with model.at(Depth(depth=1)):
        torch.testing.assert_close(model(x), head(layers[0](x)))


def test_weights_of_another_model_name_the_module():
    network = nn.Sequential(nn.Sequential(nn.Linear(6, 4)), nn.Linear(4, 2))
    line = (
        r"^weights: 0\.0\.bias has the shape \(3,\), the largest model \(4,\) in 0\.0, Linear\(in_features=6, "
        r"out_features=4, bias=True\); 2 more differ: give the state dict of the largest architecture"
    )
    with pytest.raises(CheckpointError, match=line):
        load_weights(network, nn.Sequential(nn.Sequential(nn.Linear(6, 3)), nn.Linear(3, 2)).state_dict())
    other = nn.Sequential(nn.Sequential(nn.Linear(6, 4)), nn.Linear(4, 2))
    load_weights(network, other.state_dict())
    assert torch.equal(network[1].weight, other[1].weight)
