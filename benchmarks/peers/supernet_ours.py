"""Sandwich steps of an elastified GPT-2, for the comparison with other libraries of supernets."""

from typing import Any, Literal

import torch
import transformers
from torch import Tensor, nn

from benchmarks.peers.plain_gpt2 import GPT2
from benchmarks.peers.sandwich import HEAD, Arch, Sandwich
from benchmarks.peers.transformers_gpt2 import gpt2
from elasticnas import Space
from elasticnas.elastic.model import shell, wrap

__all__ = ["RULES", "Sizes", "own_side"]


class Sizes(Space):
    """GPT-2 small; the hidden size is 64 per head."""

    heads: Literal[12, 8, 6]
    inner: Literal[3072, 2048, 1536]
    depth: Literal[12, 8, 4]

    @property
    def hidden(self) -> int:
        return HEAD * self.heads


RULES = {
    "transformers": {"*.c_attn.weight": f"hidden (3 heads {HEAD})"},
    "plain": {"*.fused.weight": f"(3 heads {HEAD}) hidden"},
}
"""Layouts of the fused projections, by the model: that of transformers, or that of ``plain_gpt2.py``."""


def own_side(model: str, vocabulary: int, batch: tuple[int, int], threads: int, space: type[Space] = Sizes) -> Sandwich:
    """Return the supernet that ``elastify`` makes of a model; its proofs, which take minutes here, are left out."""

    def build(heads: int, hidden: int, inner: int, depth: int) -> nn.Module:
        made = GPT2 if model == "plain" else gpt2
        return made(hidden, heads, inner, depth, vocabulary, batch[1])

    torch.manual_seed(0)
    supernet: Any = wrap(None, *shell(build, space, RULES[model]), RULES[model]).train()

    def logits(arch: Arch, ids: Tensor) -> Tensor:
        with supernet.at(space(**arch)):
            found = supernet(ids)
        return found if isinstance(found, Tensor) else found.logits

    versions = {"versions": {} if model == "plain" else {"transformers": transformers.__version__}}
    return Sandwich(supernet, logits, versions, vocabulary, batch, threads)
