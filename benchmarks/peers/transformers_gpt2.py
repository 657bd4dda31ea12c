"""GPT-2 of transformers without dropout, for the sides that run it."""

from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

__all__ = ["gpt2"]


def gpt2(hidden: int, heads: int, inner: int, depth: int, vocabulary: int, length: int) -> nn.Module:
    """Return a model with random weights; its activation is fused, as the peers' is."""
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=length,
        n_embd=hidden,
        n_head=heads,
        n_inner=inner,
        n_layer=depth,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",
        use_cache=False,
    )
    model: nn.Module = GPT2LMHeadModel(config)
    return model
