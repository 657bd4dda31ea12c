"""Measure what trained rotary frequencies are worth in a Llama with narrower heads."""

from pathlib import Path
from typing import Any

import torch
from pretrained_models import stories
from torch import Tensor, nn

__all__ = ["rotary"]

PAIRS = 4  # of each head of stories260K: half-split, units i and i + 4


@torch.no_grad()
def rotary(data: Path) -> dict[str, Any]:
    """Return the loss by kept pairs of each head and by frequencies, on sampled stories and on Shakespeare."""
    network, texts = stories(data)
    torch.manual_seed(0)
    start = torch.ones(16, 1, dtype=torch.long)
    length = {"max_new_tokens": 200, "min_new_tokens": 200}
    told = network.generate(start, attention_mask=torch.ones_like(start), do_sample=True, **length)
    inputs = {"stories": told, "Shakespeare": texts.test}
    found = {"whole": {name: _loss(network, ids) for name, ids in inputs.items()}}
    for kept in (3, 2):
        half = torch.arange(2 * kept)  # the first units of each head: pairs are torn
        first = torch.cat([torch.arange(kept), torch.arange(kept) + PAIRS])
        last = torch.cat([torch.arange(PAIRS - kept, PAIRS), torch.arange(PAIRS - kept, PAIRS) + PAIRS])
        for name, units, trained in (
            ("first units, computed frequencies", half, False),
            ("first pairs, computed frequencies", first, False),
            ("first pairs, trained frequencies", first, True),
            ("last pairs, computed frequencies", last, False),
            ("last pairs, trained frequencies", last, True),
        ):
            small = _narrowed(network, units, trained)
            found[f"{2 * kept} of 8, {name}"] = {text: _loss(small, ids) for text, ids in inputs.items()}
    return found


def _narrowed(network: Any, units: Tensor, trained: bool) -> nn.Module:
    """Return the model with these units of every head, and frequencies kept or computed for the new width."""
    config = type(network.config)(**(network.config.to_dict() | {"head_dim": len(units)}))
    small = type(network)(config).eval()
    weights = network.state_dict()
    for name, value in weights.items():
        if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight")):
            weights[name] = value.unflatten(0, (-1, 2 * PAIRS))[:, units].flatten(0, 1)
        elif name.endswith("o_proj.weight"):
            weights[name] = value.unflatten(1, (-1, 2 * PAIRS))[:, :, units].flatten(1)
    small.load_state_dict(weights)
    if trained:
        embedding = small.model.rotary_emb
        embedding.inv_freq = network.model.rotary_emb.inv_freq[units[: len(units) // 2]].clone()
    return small


def _loss(model: Any, ids: Tensor) -> float:
    return float(nn.functional.cross_entropy(model(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()))
