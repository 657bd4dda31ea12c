"""The loss of a batch: softmax cross entropy over all items, or the literal binary form."""

from typing import Literal

import torch
from torch import Tensor

from easrec.data import Batch
from easrec.model import EASRec
from elasticnas.nn import tied_cross_entropy

__all__ = ["batch_loss"]


def batch_loss(
    model: EASRec, batch: Batch, kind: Literal["softmax", "binary"] = "softmax", bf16: bool = False
) -> Tensor:
    """Mean loss over the targets of a batch.

    Args:
        model: Supernet in a scope, or plain network.
        batch: Causal windows or prefixes.
        kind: ``softmax``: -log of the target's probability among all items. ``binary``: -sum over all items of
            y log(p) + (1 - y) log(1 - p) with p the softmax probabilities (EASRec, arXiv:2402.00390v1, Eq. 13 and 14;
            the paper's sum lacks the minus).
        bf16: Run the network under autocast; the loss itself stays in float32.

    Returns:
        ``()``; 0 where the batch has no target.
    """
    device_type = batch.inputs.device.type
    with torch.autocast(device_type, dtype=torch.bfloat16, enabled=bf16):
        if batch.targets.ndim == 2:
            # only real positions meet the item table, which costs more than a layer
            real = batch.targets > 0
            y, targets = model(batch.inputs)[real], batch.targets[real]
        else:
            y, targets = model.last(batch.inputs, (batch.inputs > 0).sum(1)), batch.targets
        if kind == "softmax":
            return tied_cross_entropy(y, model.items, targets)
        scores = model.scores(y)
    if scores.dtype in (torch.bfloat16, torch.float16):
        scores = scores.float()
    if len(targets) == 0:
        return scores[:, 1:].sum() * 0.0
    log_p = scores[:, 1:].log_softmax(-1)
    chosen = log_p.gather(1, targets.unsqueeze(1) - 1)
    # log(1 - p) of every item; of the target it does not count
    log_rest = torch.log1p(-log_p.exp().clamp_max(1 - 1e-6))
    rest = log_rest.sum(1) - log_rest.gather(1, targets.unsqueeze(1) - 1).squeeze(1)
    return -(chosen.squeeze(1) + rest).mean()
