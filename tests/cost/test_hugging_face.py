"""Costs of Hugging Face models against counts by hand: attention masks, mixtures of experts, tied weights."""

import warnings
from collections import UserDict
from importlib import import_module
from typing import Literal

import pytest
import torch

from elasticnas import Space, elastify
from elasticnas.cost import (
    Flops,
    Latency,
    Memory,
    Params,
    UncountedFlopsWarning,
    ValueDependentFlopsWarning,
    count_flops,
)

transformers = pytest.importorskip("transformers")

B, N, D, V = 2, 7, 32, 60  # hidden 32: 4 heads of 8, 2 groups of keys
ROWS = B * N
IDS = torch.arange(3, 3 + ROWS).view(B, N)
MASK = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
TOKENS = {"vocab_size": V, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
SIZES = {"hidden_size": D, "num_attention_heads": 4, "num_hidden_layers": 2, "max_position_embeddings": 64}
GROUPED = {"num_key_value_heads": 2}
SEQ2SEQ = {
    "d_model": D, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "max_position_embeddings": 64, "decoder_start_token_id": 2,
}  # fmt: skip
LATENT = {
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8,
    "n_group": 1, "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 1,
}  # fmt: skip

SCORES = 2 * ROWS * N * D
FULL = ROWS * 4 * D * D + SCORES
CROSS = FULL
HALF = ROWS * (2 * D * D + 2 * D * 16) + SCORES
HEAD = ROWS * D * V
# down to 16 and up to the heads: queries of 8 + 4, keys of 8 and values of 8, the rotary part of the keys is shared
MLA = ROWS * (D * 16 + 16 * 4 * 12 + D * (16 + 4) + 16 * 4 * 16 + 4 * 8 * D) + ROWS * N * 4 * (12 + 8)


def build(name, head, dtype=torch.float32, experts=None, **sizes):
    config = getattr(transformers, f"{name}Config")(**TOKENS, **sizes)
    extra = {} if experts is None else {"experts_implementation": experts}
    return getattr(transformers, f"{name}{head}")._from_config(config, dtype=dtype, **extra).eval()


def quietly(network, example):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncountedFlopsWarning)
        warnings.simplefilter("error", ValueDependentFlopsWarning)
        return count_flops(network, example)


def dense(matrices, inner):
    return ROWS * matrices * D * inner


# class, head, sizes, multiply-adds of inner
MASKED = {
    "Llama": ("ForCausalLM", SIZES | GROUPED, lambda i: 2 * (HALF + dense(3, i)) + HEAD),
    "Phi3": ("ForCausalLM", SIZES | GROUPED, lambda i: 2 * (HALF + dense(3, i)) + HEAD),
    "Bert": ("Model", SIZES, lambda i: 2 * (FULL + dense(2, i)) + B * D * D),
    "Roberta": ("Model", SIZES, lambda i: 2 * (FULL + dense(2, i)) + B * D * D),
    "ModernBert": ("Model", SIZES, lambda i: 2 * (FULL + dense(3, i))),
    "GPTNeoX": ("ForCausalLM", SIZES, lambda i: 2 * (FULL + dense(2, i)) + HEAD),
    "Bart": ("ForConditionalGeneration", SEQ2SEQ, lambda i: 2 * (FULL + dense(2, i)) + CROSS + HEAD),
    "Marian": ("MTModel", SEQ2SEQ, lambda i: 2 * (FULL + dense(2, i)) + CROSS + HEAD),
    "T5": (
        "ForConditionalGeneration",
        {"d_model": D, "d_kv": 8, "num_heads": 4, "num_layers": 1, "decoder_start_token_id": 2},
        lambda i: 2 * (FULL + dense(2, i)) + CROSS + HEAD,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKED)
def test_masks_do_not_change_the_count(name):
    head, sizes, by_hand = MASKED[name]
    for inner in (48, 16):
        kinds = {"d_ff": inner} if name == "T5" else {"encoder_ffn_dim": inner, "decoder_ffn_dim": inner}
        network = build(name, head, **sizes, **(kinds if "d_model" in sizes else {"intermediate_size": inner}))
        example = {"input_ids": IDS} | ({"decoder_input_ids": IDS} if "d_model" in sizes else {})
        for mask in ({}, {"attention_mask": MASK}, {"attention_mask": torch.ones_like(MASK)}):
            assert quietly(network, example | mask) == 2 * by_hand(inner)


def test_relative_positions_of_deberta():
    network = build("DebertaV2", "Model", **SIZES, intermediate_size=48, relative_attention=True,
                    pos_att_type=["p2c", "c2p"], max_relative_positions=8, position_buckets=-1)  # fmt: skip
    # keys and queries of the 2 * 8 relative positions, and their scores with each query and each key
    positions = 2 * (16 * D * D + ROWS * 16 * D)
    expected = 2 * (FULL + positions + dense(2, 48))
    for example in ({"input_ids": IDS}, {"input_ids": IDS, "attention_mask": MASK}):
        assert quietly(network, example) == 2 * expected


def test_a_tokenizers_output_is_an_example():
    encoded = transformers.BatchEncoding({"input_ids": IDS, "attention_mask": MASK})
    assert isinstance(encoded, UserDict)
    network = build("Llama", "ForCausalLM", **SIZES, **GROUPED, intermediate_size=48)
    assert quietly(network, encoded) == 2 * MASKED["Llama"][2](48)


def routed(inner, top_k, experts=4):
    """The router, and three matrices for each expert of a token."""
    return ROWS * D * experts + top_k * dense(3, inner)


MOE = {"num_experts_per_tok": 2} | SIZES | GROUPED
EXPERTS = {
    "Mixtral": (MOE | {"num_local_experts": 4}, "intermediate_size", lambda i, k: 2 * (HALF + routed(i, k))),
    # whatever the config says, its router takes two
    "Phimoe": (MOE | {"num_local_experts": 4}, "intermediate_size", lambda i, k: 2 * (HALF + routed(i, 2))),
    "GptOss": (
        MOE | {"num_local_experts": 4, "head_dim": 8}, "intermediate_size", lambda i, k: 2 * (HALF + routed(i, k))
    ),
    "GraniteMoe": (MOE | {"num_local_experts": 4}, "intermediate_size", lambda i, k: 2 * (HALF + routed(i, k))),
    "Olmoe": (MOE | {"num_experts": 4}, "intermediate_size", lambda i, k: 2 * (HALF + routed(i, k))),
    "Qwen2Moe": (  # a shared expert with a gate
        MOE | {"num_experts": 4, "shared_expert_intermediate_size": 24},
        "moe_intermediate_size",
        lambda i, k: 2 * (HALF + routed(i, k) + dense(3, 24) + ROWS * D),
    ),
    "Qwen3Moe": (
        MOE | {"num_experts": 4, "head_dim": 8}, "moe_intermediate_size", lambda i, k: 2 * (HALF + routed(i, k))
    ),
    "DeepseekV2": (  # a dense layer, and one of experts with a shared one
        MOE | LATENT | {"n_routed_experts": 4, "intermediate_size": 40, "head_dim": 4, "num_key_value_heads": 4},
        "moe_intermediate_size",
        lambda i, k: 2 * MLA + dense(3, 40) + routed(i, k) + dense(3, i),
    ),
    "DeepseekV3": (
        MOE | LATENT | {"n_routed_experts": 4, "intermediate_size": 40, "num_key_value_heads": 4},
        "moe_intermediate_size",
        lambda i, k: 2 * MLA + dense(3, 40) + routed(i, k) + dense(3, i),
    ),
    "JetMoe": (  # attention too: queries and outputs by expert, keys and values shared
        MOE | {"num_local_experts": 4, "kv_channels": 8},
        "intermediate_size",
        lambda i, k: 2 * (ROWS * D * 4 + k * ROWS * 2 * D * 16 + ROWS * D * 32 + ROWS * 2 * N * 16 * k + routed(i, k)),
    ),
}  # fmt: skip
KINDS = [(torch.float32, "eager"), (torch.float32, "grouped_mm"), (torch.bfloat16, "grouped_mm"),
         (torch.float32, "batched_mm"), (torch.bfloat16, "batched_mm")]  # fmt: skip


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_count_the_tokens_routed_to_them(name):
    sizes, width, by_hand = EXPERTS[name]
    own = name in ("JetMoe", "GraniteMoe")  # its own implementation
    for dtype, experts in [(torch.float32, None), (torch.bfloat16, None)] if own else KINDS:
        for inner, top_k in ((48, 2), (16, 2), (16, 1)):
            chosen = sizes | {width: inner, "num_experts_per_tok": top_k}
            if name == "JetMoe":  # as many heads as keys for each expert
                chosen |= {"num_attention_heads": 2 * top_k}
            network = build(name, "ForCausalLM", dtype, experts, **chosen)
            counted = quietly(network, {"input_ids": IDS, "attention_mask": MASK})
            assert counted == 2 * (by_hand(inner, top_k) + HEAD), (dtype, experts, inner, top_k)


SWITCH = {
    "d_model": D, "d_kv": 8, "num_heads": 4, "num_layers": 1, "num_decoder_layers": 1, "num_experts": 4, "d_ff": 48,
    "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1, "decoder_start_token_id": 2,
}  # fmt: skip
BOTH = {"input_ids": IDS, "attention_mask": MASK, "decoder_input_ids": IDS}


def test_switch_transformers_up_to_the_capacity_of_experts():
    network = build("SwitchTransformers", "ForConditionalGeneration", **SWITCH)
    expected = 2 * (FULL + ROWS * D * 4 + dense(2, 48)) + CROSS + HEAD
    assert quietly(network, BOTH) == 2 * expected
    small = build("SwitchTransformers", "ForConditionalGeneration", **SWITCH, expert_capacity=1)
    with pytest.warns(ValueDependentFlopsWarning, match="SwitchTransformersForConditionalGeneration: the FLOPs depend"):
        counted = count_flops(small, BOTH)
    dropped = 2 * expected - counted
    assert dropped > 0 and dropped % (2 * 2 * D * 48) == 0  # whole tokens


def test_the_grouped_product_of_transformers_for_older_versions_of_torch():
    import_module("transformers.integrations.moe")  # registers it

    class Grouped(torch.nn.Module):
        def forward(self, x):
            ends = torch.tensor([2, 5, 5, 8], dtype=torch.int32)
            return torch.ops.transformers.grouped_mm_fallback(x, torch.ones(4, 16, 6), ends)

    assert quietly(Grouped(), torch.zeros(8, 16)) == 2 * 8 * 16 * 6


class Inner(Space):
    inner: Literal[48, 16]


class Depth(Space):
    depth: Literal[2, 1]


def mixtral(inner, dtype=torch.bfloat16):
    return build("Mixtral", "ForCausalLM", dtype, **MOE, num_local_experts=4, intermediate_size=inner)


def gpt2(depth):
    return build("GPT2", "LMHeadModel", n_embd=D, n_head=4, n_layer=depth, n_inner=48, n_positions=64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_costs_of_an_elastified_mixture_of_experts(dtype):
    model = elastify(lambda inner: mixtral(inner, dtype), Inner, {"*.gate_up_proj": "4 (2 inner) _"})
    example = {"input_ids": IDS, "attention_mask": MASK}
    flops, params, memory = Flops(model, example), Params(model), Memory(model, example)
    latency = Latency(model, example, warmup=0, repeats=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for arch in Inner.enumerate():
            # attention, router, experts and two norms a layer; embedding, head and last norm
            layer = 2 * D * D + 2 * D * 16 + 4 * D + 4 * 3 * D * arch.inner + 2 * D
            weights = 2 * layer + 2 * V * D + D
            assert params(arch) == weights
            assert flops(arch) == 2 * (EXPERTS["Mixtral"][2](arch.inner, 2) + HEAD)
            assert latency(arch) > 0
            # the frequencies, twice, and what lives: at least ids, mask and the scores of the vocabulary
            assert memory(arch) > dtype.itemsize * (weights + ROWS * V) + 2 * 4 * 4 + 2 * 8 * ROWS
    assert memory(Inner(inner=48)) - memory(Inner(inner=16)) >= dtype.itemsize * 2 * 4 * 3 * D * 32


def test_costs_of_tied_weights_with_a_mask():
    model, example = elastify(gpt2, Depth), {"input_ids": IDS, "attention_mask": MASK}
    flops, params, memory = Flops(model, example), Params(model), Memory(model, example)
    weights = {}
    for arch in Depth.enumerate():
        layer = 4 * D * D + 4 * D + 2 * D * 48 + 48 + D + 2 * 2 * D
        weights[arch] = V * D + 64 * D + arch.depth * layer + 2 * D  # the head is the embedding
        assert params(arch) == weights[arch]
        assert flops(arch) == 2 * (arch.depth * (FULL + dense(2, 48)) + HEAD)
    smallest, largest = (Depth(depth=depth) for depth in (1, 2))
    # both have the same peak of activations; what the cache holds is 2 N d a layer and sequence
    cache = 2 * ROWS * D
    assert memory(largest) - memory(smallest) == 4 * (weights[largest] - weights[smallest] + cache)
