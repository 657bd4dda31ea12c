"""Sandwich steps of transformers' GPT-2 with masked weights, as NNI's differentiable strategies mask them.

NNI is archived, and its last release needs an old torch: this is our re-implementation of what ``MixedLinear`` and its
like do with weighted sizes (microsoft/nni, ``nas/oneshot/pytorch/supermodule``, ``_operation_utils.py``): products have
full size, and every weight is multiplied by masks of the chosen sizes, one per narrowed dimension. The layer norms are
full-size ones with masked weights there and here, so that the mean includes the masked units. Masks are made once per
size here, in each forward pass there. Layers beyond the depth are not run.
"""

from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from sandwich import HEAD, Arch, Sandwich
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["LAYOUTS", "masked", "open_side"]

LAYOUTS = {
    "wte.weight": (None, "hidden"),
    "wpe.weight": (None, "hidden"),
    "ln_1.weight": ("hidden",),
    "ln_1.bias": ("hidden",),
    "ln_2.weight": ("hidden",),
    "ln_2.bias": ("hidden",),
    "ln_f.weight": ("hidden",),
    "ln_f.bias": ("hidden",),
    "attn.c_attn.weight": ("hidden", "fused"),
    "attn.c_attn.bias": ("fused",),
    "attn.c_proj.weight": ("hidden", "hidden"),
    "attn.c_proj.bias": ("hidden",),
    "mlp.c_fc.weight": ("hidden", "inner"),
    "mlp.c_fc.bias": ("inner",),
    "mlp.c_proj.weight": ("inner", "hidden"),
    "mlp.c_proj.bias": ("hidden",),
}
"""What the dimensions of a tensor hold, by the end of its name; ``fused`` are queries, keys and values."""


@cache
def mask(active: int, full: int, parts: int = 1) -> Tensor:
    """Return ones for the first units of every part, zeros for the others, ``(parts full,)``."""
    return (torch.arange(full) < active).float().repeat(parts)


def masked(name: str, weight: Tensor, arch: Arch, largest: Arch) -> Tensor:
    """Return a full-size weight with zeros at the units that an architecture leaves out."""
    layout = next(layout for end, layout in LAYOUTS.items() if name.endswith(end))
    for position, held in enumerate(layout):
        if held is not None:
            active, full = (sizes["inner"] if held == "inner" else HEAD * sizes["heads"] for sizes in (arch, largest))
            if active < full:
                shape = [-1 if dim == position else 1 for dim in range(weight.dim())]
                weight = weight * mask(active, full, 3 if held == "fused" else 1).reshape(shape)
    return weight


def open_side(largest: Arch, vocabulary: int, batch: tuple[int, int], threads: int) -> Sandwich:
    """Return transformers' GPT-2 whose weights are masked in every forward pass."""
    from transformers_gpt2 import gpt2

    torch.manual_seed(0)
    network: Any = gpt2(HEAD * largest["heads"], **largest, vocabulary=vocabulary, length=batch[1]).train()
    layers = list(network.transformer.h)

    def logits(arch: Arch, ids: Tensor) -> Tensor:
        network.transformer.h = nn.ModuleList(layers[: arch["depth"]])
        weights = {name: masked(name, weight, arch, largest) for name, weight in network.named_parameters()}
        found: Tensor = functional_call(network, weights, kwargs={"input_ids": ids}, tie_weights=True).logits
        network.transformer.h = nn.ModuleList(layers)
        return found

    return Sandwich(
        network, logits, {"versions": {"transformers": version("transformers")}}, vocabulary, batch, threads
    )
