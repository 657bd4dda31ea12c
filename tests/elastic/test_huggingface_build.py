"""from_config: build and space of Hugging Face models."""

import pickle
import random

import pytest
import torch
import transformers as hf
from torch import nn

from elasticnas import elastify, extract, load, save
from elasticnas.elastic.huggingface import from_config
from elasticnas.errors import ConfigError

IDS = torch.tensor([[3, 7, 1, 30, 5, 8], [9, 9, 2, 4, 6, 11]])
SMALL = {"vocab_size": 31, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def llama(**more):
    return hf.LlamaConfig(
        hidden_size=32, num_attention_heads=8, num_key_value_heads=2, intermediate_size=48, num_hidden_layers=3,
        max_position_embeddings=16, **SMALL, **more,
    )  # fmt: skip


def gpt2():
    return hf.GPT2Config(n_embd=32, n_head=4, n_layer=3, n_positions=16, **SMALL)


def bert(**more):
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "num_hidden_layers": 3}
    return hf.BertConfig(max_position_embeddings=16, **sizes, **SMALL, **more)


def gemma():
    return hf.Gemma2Config(
        hidden_size=32, num_attention_heads=4, num_key_value_heads=2, head_dim=8, intermediate_size=48,
        num_hidden_layers=4, sliding_window=2, **SMALL,
    )  # fmt: skip


def vit():
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "num_hidden_layers": 2}
    return hf.ViTConfig(image_size=16, patch_size=8, num_channels=1, **sizes)


def mixtral():
    return hf.MixtralConfig(
        hidden_size=32, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48, num_hidden_layers=2,
        num_local_experts=4, num_experts_per_tok=2, **SMALL,
    )  # fmt: skip


CASES = {
    "Llama": (llama(), hf.AutoModelForCausalLM, {"heads": [4], "inner": [24], "depth": [2, 1]}),
    "GPT-2": (gpt2(), hf.GPT2LMHeadModel, {"heads": [2], "inner": [64], "depth": [2]}),
    "BERT masked": (bert(), hf.AutoModelForMaskedLM, {"heads": [2], "inner": [24], "depth": [2]}),
    "BERT classes": (bert(num_labels=3), hf.AutoModelForSequenceClassification, {"inner": [24], "depth": [1]}),
    "BERT": (bert(), hf.BertModel, {"heads": [3, 1]}),
    "ViT": (vit(), hf.AutoModelForImageClassification, {"heads": [2], "inner": [16], "depth": [1]}),
    "Mixtral": (mixtral(), hf.AutoModelForCausalLM, {"experts": [3, 2]}),
}


def written(model):
    """The sizes that a built model's own config states."""
    get = model.config.to_dict().get
    names = {"heads": ("num_attention_heads", "n_head"), "inner": ("intermediate_size", "n_inner")}
    names |= {"depth": ("num_hidden_layers", "n_layer"), "experts": ("num_local_experts",)}
    return {size: next((get(name) for name in each if get(name) is not None), None) for size, each in names.items()}


@pytest.mark.parametrize("name", CASES)
def test_models_of_every_architecture_are_those_of_its_sizes(name):
    config, model, options = CASES[name]
    before = config.to_dict()
    family = from_config(config, model, **options)
    assert set(family.space.model_fields) == set(options)
    largest = family.build(family.space.largest())
    assert sum(p.numel() for p in largest.parameters()) == sum(p.numel() for p in _plain(model, config).parameters())
    for arch in [family.space.smallest(), family.space.sample(random.Random(0))]:
        made = family.build(arch)
        assert {size: written(made)[size] for size in options} == {size: getattr(arch, size) for size in options}
        again = type(made)(made.config)  # what from_pretrained would make
        assert [tuple(p.shape) for p in again.parameters()] == [tuple(p.shape) for p in made.parameters()]
    assert config.to_dict() == before


def _plain(model, config):
    return model.from_config(config) if hasattr(model, "_model_mapping") else model(config)


def test_fewer_heads_keep_their_width():
    made = from_config(llama(), hf.LlamaModel, heads=[4]).build
    assert made(_Arch(heads=4)).layers[0].self_attn.q_proj.weight.shape == (4 * 4, 32)
    family = from_config(gpt2(), hf.GPT2Model, heads=[2])
    assert family.space(heads=2).hidden == 16 and family.build(family.space(heads=2)).wte.weight.shape == (31, 16)
    family = from_config(llama(), hf.LlamaModel, hidden=[16], key_groups=[1])
    layer = family.build(family.space(hidden=16, key_groups=1)).layers[0].self_attn
    assert (layer.q_proj.weight.shape, layer.k_proj.weight.shape) == ((32, 16), (4, 16))
    many = from_config(
        hf.LlamaConfig(hidden_size=32, num_attention_heads=4, **SMALL), hf.LlamaModel, heads=[2], depth=[1]
    )
    assert many.build(many.space(heads=2, depth=1)).layers[0].self_attn.k_proj.weight.shape == (16, 32)


class _Arch:
    def __init__(self, **sizes):
        vars(self).update(sizes)


def test_layers_have_their_own_widths():
    torch.manual_seed(0)
    family = from_config(llama(), hf.LlamaForCausalLM, inner=[24, 12], heads=[4, 2], per_layer=["inner", "heads"])
    model = elastify(family.build, family.space, rules=family.rules).eval()
    arch = family.space(inner=(24, 48, 12), heads=(8, 2, 4))
    network = extract(model, arch, {"input_ids": IDS})
    layers = network.model.layers
    assert [layer.mlp.up_proj.out_features for layer in layers] == [24, 48, 12]
    assert [layer.self_attn.q_proj.out_features for layer in layers] == [8 * 4, 2 * 4, 4 * 4]
    assert [layer.self_attn.layer_idx for layer in layers] == [0, 1, 2]
    # by hand: the full model, in which units beyond a layer's width are dead
    full = family.build(family.space.largest()).eval()
    full.load_state_dict(model.network.state_dict())
    with torch.no_grad():
        for layer, inner, heads in zip(full.model.layers, arch.inner, arch.heads, strict=True):
            layer.mlp.down_proj.weight[:, inner:] = 0
            # two groups of four heads, of which each keeps the first
            dead = torch.arange(32).view(2, 4, 4)[:, heads // 2 :].flatten()
            layer.self_attn.o_proj.weight[:, dead] = 0
    torch.testing.assert_close(network(IDS).logits, full(IDS).logits)
    generated = [each.generate(IDS, max_new_tokens=4, do_sample=False) for each in (network, full)]
    assert torch.equal(*generated)


def test_widths_with_kept_layers_and_layer_types(tmp_path):
    torch.manual_seed(0)
    family = from_config(gemma(), hf.Gemma2ForCausalLM, inner=[24], keep_layers=True, per_layer=["inner"])
    assert family.rules == {"model.layers": "keep"}
    model = elastify(family.build, family.space, rules=family.rules).eval()
    arch = family.space(inner=(24, 48, 48, 24), keep=(False, True, False, True))
    network = extract(model, arch, {"input_ids": IDS})
    assert network.config.layer_types == ["full_attention", "full_attention"]
    assert [layer.mlp.up_proj.out_features for layer in network.model.layers] == [48, 24]
    full = model.network
    expected = []
    with torch.no_grad():
        hooks = [full.model.layers[number].register_forward_hook(lambda m, args, out: args[0]) for number in (0, 2)]
        weight = full.model.layers[3].mlp.down_proj.weight
        kept = weight.clone()
        weight[:, 24:] = 0
        expected = full(IDS).logits
        weight.copy_(kept)
        for hook in hooks:
            hook.remove()
    torch.testing.assert_close(network(IDS).logits, expected)
    save(network, arch, tmp_path)
    assert torch.equal(load(tmp_path, family.build).eval()(IDS).logits, network(IDS).logits)


def test_a_folder_and_weights(tmp_path):
    trained = hf.LlamaForCausalLM(llama()).eval()
    trained.save_pretrained(tmp_path)
    family = from_config(tmp_path, inner=[24], depth=[2])
    model = elastify(family.build, family.space, weights=hf.LlamaForCausalLM.from_pretrained(tmp_path)).eval()
    assert torch.equal(model(IDS).logits, trained(IDS).logits)
    restored = pickle.loads(pickle.dumps(model))
    arch = family.space(inner=24, depth=2)
    with model.at(arch), restored.at(arch):
        assert torch.equal(model(IDS).logits, restored(IDS).logits)


def refused(match, *args, **options):
    with pytest.raises(ConfigError, match=match) as caught:
        from_config(*args, **options)
    assert "\n" not in str(caught.value)


def test_what_it_cannot_do_is_one_line(tmp_path):
    refused(r"^from_config got '.*': give a config, such as .*, or a folder with config", str(tmp_path), heads=[1])
    refused("^from_config got no size to choose", llama())
    refused("^GPT2Config has no key_groups .*leave it out", gpt2(), key_groups=[1])
    refused("^BertConfig has no experts", bert(), experts=[1])
    refused(r"^inner=\[64\]: give integers from 1 to 48, the size in the config", llama(), inner=[64])
    refused(r"^inner=\[0\.5\]: give integers", llama(), inner=[0.5])
    refused(r"^experts=\[1\]: each token uses 2 of them", mixtral(), experts=[1])
    refused("^BertConfig: the width of a head is hidden / heads, so that both", bert(), heads=[2], hidden=[16])
    refused("would have wider ones: leave heads out of per_layer", bert(), heads=[2], per_layer=["heads"])
    refused(r"^hidden=\[32, 18\]: give multiples of the 4 heads", bert(), hidden=[18])
    refused(r"^heads=\[8, 3\]: give multiples of the 2 key groups", llama(), heads=[3])
    five = hf.LlamaConfig(hidden_size=40, num_attention_heads=5, num_key_value_heads=2)
    refused(r"^key_groups=\[2, 1\]: give divisors of the 5 heads", five, key_groups=[1])
    refused("^hidden is the width between layers", llama(), hidden=[16], per_layer=["hidden"])
    refused("^per_layer has 'inner': name sizes with options, of heads", llama(), heads=[4], per_layer=["inner"])
    refused("^keep_layers=True and depth both say", llama(), depth=[1], keep_layers=True)
    refused("^T5Config is of an encoder and a decoder", hf.T5Config(), inner=[8])
    refused("^CLIPConfig joins the configs text_config, vision_config: give one of them", hf.CLIPConfig(), inner=[8])
    refused("^model=3: give a model class", llama(), 3, inner=[8])


def test_heads_and_groups_together():
    family = from_config(llama(), hf.LlamaModel, heads=[4, 2], key_groups=[1])
    with pytest.raises(Exception, match="heads must be a multiple of key_groups"):
        from_config(llama(), hf.LlamaModel, heads=[4, 3], key_groups=[1]).space(heads=3, key_groups=2)
    attention = family.build(family.space(heads=2, key_groups=1)).layers[0].self_attn
    assert (attention.q_proj.out_features, attention.k_proj.out_features) == (8, 4)
    assert isinstance(attention.q_proj, nn.Linear)
