"""Inputs of text and images, and the sizes of a head."""

from collections.abc import Callable

import torch
from torch import Tensor

from tests.elastic.zoo.family import Sizes

IDS = torch.tensor([[3, 7, 4, 30, 5, 8], [9, 9, 6, 14, 30, 11]])


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
