"""Sandwich steps of whittle's own GPT, in the environment of ``whittle.txt``.

Its GPT is litgpt's, which has no table of positions: rotary embeddings are off, so that it does a little less work.
"""

from importlib.metadata import version
from typing import Any

import torch
from sandwich import HEAD, Arch, Sandwich
from torch import Tensor

__all__ = ["open_side"]


def open_side(largest: Arch, vocabulary: int, batch: tuple[int, int], threads: int) -> Sandwich:
    """Return whittle's GPT at GPT-2's sizes, with output weights tied to the embedding."""
    from litgpt import Config
    from whittle.models.gpt import GPT

    torch.manual_seed(0)
    config = Config(
        n_layer=largest["depth"],
        n_head=largest["heads"],
        n_embd=HEAD * largest["heads"],
        intermediate_size=largest["inner"],
        vocab_size=vocabulary,
        padded_vocab_size=vocabulary,
        block_size=batch[1],
        rotary_percentage=0.0,
        parallel_residual=False,
        gelu_approximate="tanh",
    )
    config.tie_embeddings = True
    network: Any = GPT(config)
    network.apply(network._init_weights)
    network.tie_weights()

    def logits(arch: Arch, ids: Tensor) -> Tensor:
        if arch == largest:  # as its SandwichStrategy does
            network.reset_super_network()
        else:
            network.set_sub_network(
                sub_network_n_embd=HEAD * arch["heads"],
                sub_network_intermediate_size=arch["inner"],
                sub_network_num_heads=arch["heads"],
                sub_network_n_layers=arch["depth"],
                sub_network_query_groups=arch["heads"],
                sub_network_head_size=HEAD,
            )
        found: Tensor = network(ids)
        return found

    versions = {name: version(name) for name in ("whittle", "litgpt")}
    return Sandwich(network, logits, {"versions": versions}, vocabulary, batch, threads)
