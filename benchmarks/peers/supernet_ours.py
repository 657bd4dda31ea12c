"""Sandwich steps of an elastified GPT-2, for the comparison with other libraries of supernets."""

from typing import Any, Literal

import torch
import transformers
from torch import Tensor

from benchmarks.peers.sandwich import HEAD, Arch, Sandwich
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


RULES = {"*.c_attn.weight": f"hidden (3 heads {HEAD})"}


def own_side(vocabulary: int, batch: tuple[int, int], threads: int, space: type[Space] = Sizes) -> Sandwich:
    """Return the supernet that ``elastify(build, space)`` makes; its proofs, which take minutes here, are left out."""

    def build(heads: int, hidden: int, inner: int, depth: int) -> Any:
        config = transformers.GPT2Config(
            vocab_size=vocabulary,
            n_positions=batch[1],
            n_embd=hidden,
            n_head=heads,
            n_inner=inner,
            n_layer=depth,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
        )
        return transformers.GPT2LMHeadModel(config)

    torch.manual_seed(0)
    model: Any = wrap(None, *shell(build, space, RULES), RULES).train()

    def logits(arch: Arch, ids: Tensor) -> Tensor:
        with model.at(space(**arch)):
            found: Tensor = model(input_ids=ids).logits
        return found

    versions = {"versions": {"transformers": transformers.__version__}}
    return Sandwich(model, logits, versions, vocabulary, batch, threads)
