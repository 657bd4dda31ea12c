"""Models of transformers, built from a configuration: no weights are loaded."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tests.elastic.zoo.family import Sizes
from tests.elastic.zoo.torchvision_ops import importable

IDS = torch.tensor([[3, 7, 1, 30, 5, 8, 2, 17], [9, 9, 2, 4, 6, 11, 28, 20]])

DECODER = {
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv": "num_key_value_heads",
    "head_dim": "head_dim",
    "inner": "intermediate_size",
    "depth": "num_hidden_layers",
}
"""What most configurations call the sizes."""


def from_config(model: str, config: str, keys: Mapping[str, str] = DECODER, **fixed: Any) -> Callable[..., nn.Module]:
    """Return ``build(**sizes)``.

    Args:
        model: A class of transformers.
        config: Its configuration class.
        keys: What the configuration calls a size; several names have a space between them.
        fixed: Other settings.
    """

    def build(**sizes: int) -> nn.Module:
        importable()
        import transformers

        special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "vocab_size": 31}
        given = {key: size for name, size in sizes.items() for key in keys[name].split()}
        return getattr(transformers, model)(getattr(transformers, config)(**{**special, **fixed, **given}))

    return build


def ids(sizes: Sizes) -> dict[str, Tensor]:
    """Inputs of a decoder."""
    return {"input_ids": IDS}


def both_ids(sizes: Sizes) -> dict[str, Tensor]:
    """Inputs of an encoder and its decoder."""
    return {"input_ids": IDS, "decoder_input_ids": IDS.flip(1)}


def projections(q: str, k: str, v: str, o: str, out: str = "o_proj") -> dict[str, dict[int, str]]:
    """Layouts of separate linear layers: rows of q, k and v, columns of the output projection."""
    return {
        "*.q_proj.*": {0: q},
        "*.k_proj.*": {0: k},
        "*.v_proj.*": {0: v},
        f"*.{out}.weight": {1: o},
    }


def width_of_a_head(sizes: Sizes) -> Sizes:
    """``d``, where the hidden size is that of all heads."""
    return {"d": sizes["hidden"] // sizes["heads"]}
