"""Encoders with decoders."""

import torch
from torch import Tensor

from tests.elastic.zoo.decoders_positions import FOLLOWS, FULL, HEADS, SPACES
from tests.elastic.zoo.family import Family, Sizes
from tests.elastic.zoo.from_config import IDS, both_ids, from_config, width_of_a_head

T5 = {"hidden": "d_model", "heads": "num_heads", "head_dim": "d_kv", "inner": "d_ff", "depth": "num_layers"}
BART = {
    "hidden": "d_model",
    "heads": "encoder_attention_heads decoder_attention_heads",
    "inner": "encoder_ffn_dim decoder_ffn_dim",
    "depth": "encoder_layers decoder_layers",
}
POSITIONS = {"max_position_embeddings": 16, "decoder_start_token_id": 0}


def sounds(sizes: Sizes) -> dict[str, Tensor]:
    """Two spectrograms of 12 steps and 5 bands."""
    features = (torch.arange(2 * 5 * 12, dtype=torch.float64) * 0.37).sin().reshape(2, 5, 12)
    return {"input_features": features, "decoder_input_ids": IDS}


def t5(name: str, model: str, config: str) -> Family:
    return Family(
        name=name,
        build=from_config(model, config, T5, decoder_start_token_id=0),
        full={"hidden": 32, "heads": 4, "head_dim": 12, "inner": 48, "depth": 2},
        spaces={
            "hidden": {"hidden": 24},
            "heads": {"heads": 3},
            "head_dim": {"head_dim": 8},
            "inner": {"inner": 40},
            "depth": {"depth": 1},
        },
        example=both_ids,
        # (heads, head_dim) in self- and cross-attention; the bias of positions has a column for each head
        layouts={
            "*Attention.[qkv].weight": {0: "heads * head_dim"},
            "*Attention.o.weight": {1: "heads * head_dim"},
            "*.relative_attention_bias.weight": {1: "heads"},
        },
        note="depth: of encoder and decoder",
    )


def bart(name: str, model: str, config: str, example=both_ids, **fixed) -> Family:
    return Family(
        name=name,
        build=from_config(model, config, BART, **{**POSITIONS, **fixed}),
        full=FULL,
        spaces=SPACES,
        example=example,
        layouts=HEADS,
        derive=width_of_a_head,
        note=f"{FOLLOWS}; depth: of encoder and decoder",
    )


FAMILIES = [
    t5("T5", "T5ForConditionalGeneration", "T5Config"),
    t5("mT5", "MT5ForConditionalGeneration", "MT5Config"),
    t5("UMT5", "UMT5ForConditionalGeneration", "UMT5Config"),
    bart("BART", "BartForConditionalGeneration", "BartConfig", forced_eos_token_id=0),
    bart("Marian", "MarianMTModel", "MarianConfig", forced_eos_token_id=0),
    bart("Pegasus", "PegasusForConditionalGeneration", "PegasusConfig", forced_eos_token_id=0),
    bart(
        "Whisper",
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        example=sounds,
        num_mel_bins=5,
        max_source_positions=6,
        max_target_positions=16,
        begin_suppress_tokens=None,
    ),
]
