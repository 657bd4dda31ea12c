"""Sandwich steps of a plain GPT-2 converted by ModelOpt's AutoNAS, in the environment of ``modelopt.txt``.

AutoNAS knows linear layers, norms, convolutions and ``nn.Sequential``, but no embeddings and no attention: of GPT-2 it
searches the inner sizes and the depth, not the hidden size or heads. transformers' GPT-2 has neither ``nn.Linear``
in its layers nor ``nn.Sequential``, so that the model is that of ``plain_gpt2.py``.
"""

from importlib.metadata import version
from typing import Any

import torch
from plain_gpt2 import GPT2
from sandwich import HEAD, Arch, Sandwich
from torch import Tensor

__all__ = ["open_side"]


def open_side(largest: Arch, vocabulary: int, batch: tuple[int, int], threads: int) -> Sandwich:
    """Return the converted model; ModelOpt's ``select`` chooses its sub-networks.

    It is in eval mode, since in training mode every forward pass draws a sub-network; without dropout both compute
    the same.
    """
    import modelopt.torch.nas as mtn
    from modelopt.torch.nas.utils import select

    torch.manual_seed(0)
    plain = GPT2(hidden=HEAD * largest["heads"], **largest, vocabulary=vocabulary, length=batch[1])
    rules = {
        "nn.Linear": {"*": {"features_ratio": (0.5, 2 / 3, 1.0), "feature_divisor": HEAD}},
        "nn.LayerNorm": {"*": {"features_ratio": (1.0,), "feature_divisor": 1}},
        "nn.Sequential": {"*": {"min_depth": 1}},
    }
    network: Any = mtn.convert(plain, [("autonas", rules)]).eval()

    def logits(arch: Arch, ids: Tensor) -> Tensor:
        if arch["heads"] != largest["heads"]:
            raise ValueError(f"AutoNAS does not search heads: {arch['heads']} instead of {largest['heads']}")
        inner = {f"layers.{number}.up.out_features": arch["inner"] for number in range(largest["depth"])}
        select(network, {"layers.depth": arch["depth"], **inner})
        found: Tensor = network(ids)
        return found

    return Sandwich(
        network, logits, {"versions": {"nvidia-modelopt": version("nvidia-modelopt")}}, vocabulary, batch, threads
    )
