"""Layouts that no size shows: which units a sub-network takes, against slices written by hand."""

from typing import Literal

import pytest
import torch
from torch import nn

from elasticnas import Space, bind, elastify
from elasticnas.errors import AxisError, ConfigError

transformers = pytest.importorskip("transformers")

TOKENS = {"vocab_size": 31, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


class Hidden(Space):
    hidden: Literal[64, 32]


class Inner(Space):
    inner: Literal[48, 24]


def decoder(kind, **sizes):
    defaults = {"num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 48, "num_hidden_layers": 1}
    config = getattr(transformers, f"{kind}Config")(**TOKENS, **{**defaults, **sizes})
    return getattr(transformers, f"{kind}ForCausalLM")(config)


def encoder(kind, hidden):
    config = getattr(transformers, f"{kind}Config")(
        **TOKENS, hidden_size=hidden, num_attention_heads=4, intermediate_size=48, num_hidden_layers=1
    )
    return getattr(transformers, f"{kind}Model")(config)


def heads(weight, count=4, keep=8):
    """The first rows of every head."""
    return weight.unflatten(0, (count, -1))[:, :keep].flatten(0, 1)


def pairs(weight, count=4, keep=4):
    """The first rotary pairs of every head: rows i and i + width / 2."""
    return weight.unflatten(0, (count, 2, -1))[:, :, :keep].flatten(0, 2)


def of(model, arch, path):
    return model.network.get_submodule(path), bind(model, arch).get_submodule(path)


def test_heads_of_a_module_without_an_attribute_for_their_number():
    model = elastify(lambda hidden: decoder("Granite", hidden_size=hidden), Hidden)
    full, small = of(model, Hidden(hidden=32), "model.layers.0.self_attn")
    for name in ("q_proj", "k_proj"):
        assert torch.equal(getattr(small, name).weight, pairs(getattr(full, name).weight)[:, :32]), name
    assert torch.equal(small.v_proj.weight, heads(full.v_proj.weight)[:, :32])
    assert torch.equal(small.o_proj.weight, heads(full.o_proj.weight.t()).t()[:32])


@pytest.mark.parametrize("kind", ["Bert", "XLMRoberta"])
def test_the_output_projection_of_a_sibling_module(kind):
    model = elastify(lambda hidden: encoder(kind, hidden), Hidden)
    full, small = of(model, Hidden(hidden=32), "encoder.layer.0.attention")
    for name in ("query", "key", "value"):
        assert torch.equal(getattr(small.self, name).weight, heads(getattr(full.self, name).weight)[:, :32]), name
        assert torch.equal(getattr(small.self, name).bias, heads(getattr(full.self, name).bias)), name
    assert torch.equal(small.output.dense.weight, heads(full.output.dense.weight.t()).t()[:32])
    assert torch.equal(small.output.LayerNorm.weight, full.output.LayerNorm.weight[:32])


def opt(hidden):
    config = transformers.OPTConfig(
        **TOKENS, hidden_size=hidden, num_attention_heads=4, ffn_dim=48, num_hidden_layers=1, word_embed_proj_dim=hidden
    )
    return transformers.OPTForCausalLM(config)


def test_a_rule_on_the_wrong_side_is_refuted_and_the_right_ones_are_proposed():
    wrong = {f"*.{name}_proj.weight": "_ (num_heads head_dim)" for name in ("q", "k", "v")}
    with pytest.raises(AxisError, match=r"are refuted by the model's behaviour") as caught:
        elastify(opt, Hidden, wrong)
    message = str(caught.value)
    start = message.index("rules={") + len("rules=")
    proposed = eval(message[start : message.index("}", start) + 1])
    for rules in (None, proposed):
        full, small = of(elastify(opt, Hidden, rules), Hidden(hidden=32), "model.decoder.layers.0.self_attn")
        for name in ("q_proj", "k_proj", "v_proj"):
            assert torch.equal(getattr(small, name).weight, heads(getattr(full, name).weight)[:, :32]), name
        assert torch.equal(small.out_proj.weight, heads(full.out_proj.weight.t()).t()[:32])


def test_fused_grouped_queries_of_unequal_parts():
    class Groups(Space):
        kv: Literal[4, 2]

        @property
        def heads(self) -> int:
            return 2 * self.kv

    def build(kv, heads):
        return decoder("Phi3", hidden_size=8 * heads, num_attention_heads=heads, num_key_value_heads=kv)

    model = elastify(build, Groups)
    full, small = of(model, Groups(kv=2), "model.layers.0.self_attn.qkv_proj")
    query, key, value = full.weight.split([64, 32, 32])
    assert torch.equal(small.weight, torch.cat([query[:32], key[:16], value[:16]])[:, :32])


def test_fewer_key_heads_alone_keep_the_first_ones():
    class Keys(Space):
        kv: Literal[4, 2, 1]

    model = elastify(lambda kv: decoder("Llama", hidden_size=64, num_key_value_heads=kv), Keys)
    for kv in (2, 1):
        full, small = of(model, Keys(kv=kv), "model.layers.0.self_attn")
        assert torch.equal(small.q_proj.weight, full.q_proj.weight)
        assert torch.equal(small.k_proj.weight, full.k_proj.weight[: 16 * kv])
        assert torch.equal(small.v_proj.weight, full.v_proj.weight[: 16 * kv])
    assert "queries regrouped" in str(model.coverage())


def test_experts():
    def build(inner):
        return decoder("Mixtral", hidden_size=32, num_key_value_heads=2, intermediate_size=inner, num_local_experts=4)

    model = elastify(build, Inner)
    full, small = of(model, Inner(inner=24), "model.layers.0.mlp.experts")
    assert torch.equal(small.gate_up_proj, full.gate_up_proj.unflatten(1, (2, 48))[:, :, :24].flatten(1, 2))
    assert torch.equal(small.down_proj, full.down_proj[:, :, :24])


def test_a_hidden_size_that_is_a_product_of_a_ratio_needs_no_rule():
    class Ratio(Space):
        heads: Literal[4, 2]
        mlp: Literal[4, 3, 2]

        @property
        def hidden(self) -> int:
            return 8 * self.heads

    class Block(nn.Module):
        def __init__(self, hidden, mlp):
            super().__init__()
            self.norm = nn.LayerNorm(hidden)
            self.up, self.down = nn.Linear(hidden, mlp * hidden), nn.Linear(mlp * hidden, hidden)

        def forward(self, x):
            return x + self.down(torch.relu(self.up(self.norm(x))))

    def build(hidden, mlp):
        return nn.Sequential(nn.Linear(5, hidden), Block(hidden, mlp), nn.Linear(hidden, 3))

    model = elastify(build, Ratio)
    full, small = of(model, Ratio(heads=2, mlp=3), "1")
    assert torch.equal(small.up.weight, full.up.weight[:48, :16])
    assert torch.equal(small.down.weight, full.down.weight[:16, :48])


def test_fewer_heads_of_the_same_width_in_all_are_refused():
    class Heads(Space):
        heads: Literal[4, 2]

    def build(heads):
        return decoder("Llama", hidden_size=64, num_attention_heads=heads, num_key_value_heads=heads)

    with pytest.raises(AxisError, match=r"does not compute on units of|more than the 8 of the largest model"):
        elastify(build, Heads)


def test_an_example_is_asked_for_where_none_is_found():
    class Pairs(nn.Module):
        def __init__(self, hidden):
            super().__init__()
            self.left, self.right = nn.Linear(3, hidden), nn.Linear(hidden, 2)

        def forward(self, graph):
            return self.right(self.left(graph["nodes"]))

    with pytest.raises(ConfigError, match=r"found no input that Pairs accepts .*: give elastify\(\.\.\., example="):
        elastify(Pairs, Hidden)
    model = elastify(Pairs, Hidden, example=({"nodes": torch.randn(4, 3)},))
    assert not model.coverage().open
    assert elastify(Pairs, Hidden, assume=True).coverage().open
    with pytest.raises(ConfigError, match=r"Pairs\(hidden=64\) fails on the example"):
        elastify(Pairs, Hidden, example=torch.randn(4, 3))


def test_queries_keys_and_values_of_nested_stages_keep_the_same_rows():
    class Width(Space):
        width: Literal[32, 16]

    def build(width):
        config = transformers.SwinConfig(
            image_size=32, patch_size=4, embed_dim=width, depths=[2, 2], num_heads=[2, 4], window_size=4
        )
        return transformers.SwinModel(config)

    model = elastify(build, Width)
    for stage, count in enumerate((2, 4)):
        width = 16 * 2**stage
        for layer in (0, 1):
            full, small = of(model, Width(width=16), f"encoder.layers.{stage}.blocks.{layer}.attention")
            for name in ("q_proj", "k_proj", "v_proj"):
                expected = heads(getattr(full, name).weight, count)[:, :width]
                assert torch.equal(getattr(small, name).weight, expected), (stage, layer, name)


def test_units_that_are_flattened_over_positions():
    class Width(Space):
        width: Literal[16, 8]

    def build(width):
        layer = nn.TransformerEncoderLayer(width, 2, 24, dropout=0.0, batch_first=True, norm_first=True)
        encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        return nn.Sequential(nn.Embedding(9, width), encoder, nn.Flatten(), nn.Linear(5 * width, 3))

    model = elastify(build, Width, example=torch.randint(9, (2, 5)))
    full, small = of(model, Width(width=8), "3")
    assert torch.equal(small.weight, full.weight.unflatten(1, (5, 16))[:, :, :8].flatten(1, 2))
    full, small = of(model, Width(width=8), "1.layers.1.self_attn.out_proj")
    assert torch.equal(small.weight, full.weight.unflatten(1, (2, 8))[:8, :, :4].flatten(1, 2))


def test_an_image_is_made_for_a_model_that_flattens_its_patches():
    class Width(Space):
        width: Literal[16, 8]

    class Patches(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm, self.embed = nn.LayerNorm(3 * 8 * 8), nn.Linear(3 * 8 * 8, width)
            self.places = nn.Parameter(torch.randn(1, 4, width))
            self.head = nn.Linear(width, 2)

        def forward(self, image):
            batch = image.shape[0]
            parts = image.reshape(batch, 3, 2, 8, 2, 8).permute(0, 2, 4, 3, 5, 1).reshape(batch, 4, -1)
            return self.head((self.embed(self.norm(parts)) + self.places).mean(1))

    model = elastify(Patches, Width)
    full, small = model.network, bind(model, Width(width=8))
    assert torch.equal(small.embed.weight, full.embed.weight[:8])
    assert torch.equal(small.places, full.places[..., :8])
    assert torch.equal(small.head.weight, full.head.weight[:, :8])


def test_cross_attention_of_a_decoder_keeps_whole_heads():
    def build(hidden):
        config = transformers.GPT2Config(
            **TOKENS, n_embd=hidden, n_layer=1, n_head=4, n_positions=16, add_cross_attention=True
        )
        return transformers.GPT2LMHeadModel(config)

    model = elastify(build, Hidden)
    full, small = of(model, Hidden(hidden=32), "transformer.h.0.crossattention")
    assert torch.equal(small.q_attn.weight, heads(full.q_attn.weight.t()).t()[:32])
    assert torch.equal(small.c_attn.weight, heads(full.c_attn.weight.t(), 8).t()[:32])
