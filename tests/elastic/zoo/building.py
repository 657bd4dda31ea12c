"""What several families share: models from a config, sizes per head, and inputs."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tests.elastic.zoo.family import Sizes
from tests.elastic.zoo.torchvision_ops import importable

IDS = torch.tensor([[3, 7, 4, 30, 5, 8], [9, 9, 6, 14, 30, 11]])

USUAL = {
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "inner": "intermediate_size",
    "depth": "num_hidden_layers",
}


def from_config(model: str, config: str, names: Mapping[str, str] = USUAL, **fixed: Any) -> Callable[..., nn.Module]:
    """A ``build`` that gives sizes to a config of transformers, under the names that the config has for them."""

    def build(**sizes: int) -> nn.Module:
        importable()
        import transformers

        given = {names.get(name, name): size for name, size in sizes.items()}
        return getattr(transformers, model)(getattr(transformers, config)(**given, **fixed))

    return build


def per_head(sizes: Sizes) -> Sizes:
    """The width of a head, and half of it for the two halves that rotary embeddings pair."""
    width = sizes.get("head_dim") or sizes["hidden"] // sizes["heads"]
    return {"d": width, "half": width // 2}


def token_ids(sizes: Sizes) -> dict[str, Tensor]:
    return {"input_ids": IDS}


def pixels(name: str = "pixel_values", channels: int = 1) -> Callable[[Sizes], dict[str, Tensor]]:
    """Two images of 16 by 16 that no symmetry maps onto each other, as the input of that name."""

    def example(sizes: Sizes) -> dict[str, Tensor]:
        size = 2 * channels * 16 * 16
        return {name: (torch.arange(size, dtype=torch.float64) * 0.37).sin().reshape(2, channels, 16, 16)}

    return example
