"""The loss of a batch: softmax cross entropy over all items or a sample of them, or the literal binary form."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from easrec.config import TrainConfig
from easrec.data import Batch
from easrec.precision import Precision, chosen_precision
from easrec.scoring import loss_of
from elasticnas.nn import sampled_cross_entropy, tied_cross_entropy
from elasticnas.parallel import unwrapped

__all__ = ["BatchLoss"]


class BatchLoss:
    """Mean loss over the targets of a batch.

    ``softmax``: -log of the target's probability among all items. ``sampled``: the same, with the softmax denominator
    estimated from ``sampled_items`` items, drawn in proportion to their counts plus 1 or uniformly; or the target's
    probability among itself and these, without the correction. ``binary``: -sum over all items
    of y log(p) + (1 - y) log(1 - p) with p the softmax probabilities (EASRec, arXiv:2402.00390v1, Eq. 13 and 14; the
    paper's sum lacks the minus).

    Args:
        settings: ``loss``, ``sampled_*``, and ``precision``: ``bfloat16`` runs the network and the products of
            the loss under autocast; the rest of the loss is computed in float32.
        counts: ``(V + 1,)``, how often each id occurs in the training parts.
    """

    def __init__(self, settings: TrainConfig, counts: NDArray[np.int64]) -> None:
        self.settings = settings
        uniform = settings.sampled_from == "uniform"
        likely = torch.ones(len(counts), dtype=torch.float64) if uniform else torch.from_numpy(counts + 1.0)
        likely[0] = 0
        self._probability = (likely / likely.sum()).float()
        self._up_to = (likely / likely.sum()).cumsum(0)

    def __call__(self, model: Any, batch: Batch) -> Tensor:
        """Compute the loss of a supernet in a scope, or of a plain network.

        Args:
            model: An :class:`~easrec.model.EASRecModel`, also in DistributedDataParallel.
            batch: Causal windows or prefixes.

        Returns:
            A scalar; 0 if the batch has no target.
        """
        kind = self.settings.loss
        device = batch.inputs.device
        narrow = self._precision(model, device) == "bfloat16"

        def autocast() -> torch.autocast:
            return torch.autocast(device.type, dtype=torch.bfloat16, enabled=narrow)

        with autocast():
            # score real positions only: scoring costs more than a layer
            real = batch.targets > 0
            targets = batch.targets[real]
            # through the model's call, which DDP needs
            row = None if real.ndim == 2 else _last(batch)
            y = model(batch.inputs, row, *batch.when)
            y = (y if row is None else y.squeeze(1))[real]
            model = unwrapped(model)
            if kind == "softmax":
                return loss_of(model.scoring, y, lambda y, t: tied_cross_entropy(y, model.items, targets, t))
            if kind == "sampled":
                probability = self._probability.to(targets.device) if self.settings.sampled_correction else None
                sampled = self._draw().to(targets.device)
                return loss_of(
                    model.scoring,
                    y,
                    lambda y, t: sampled_cross_entropy(y, model.items, targets, sampled, probability, t),
                )

        def binary(y: Tensor, temperature: float | None) -> Tensor:
            with autocast():
                scores = model.items.scores(y, temperature)
            return _binary(scores.to(torch.promote_types(scores.dtype, torch.float32)), targets)

        return loss_of(model.scoring, y, binary)

    def weighted(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the loss, and its weight in the mean over several processes: the number of targets."""
        return self(model, batch), (batch.targets > 0).sum()

    def _precision(self, model: Any, device: torch.device) -> Precision:
        setting = self.settings.precision
        kinds: Any = unwrapped(model).attention_kinds if setting == "auto" else ()
        return chosen_precision(setting, device, kinds)

    def _draw(self) -> Tensor:
        """Draw items by their probability, with replacement."""
        uniform = torch.rand(self.settings.sampled_items, dtype=torch.float64)
        return torch.searchsorted(self._up_to, uniform, right=True).clamp_max(len(self._up_to) - 1)


def _last(batch: Batch) -> Tensor:
    """Return the last real position of each sequence."""
    return ((batch.inputs > 0).sum(1) - 1).clamp_min(0)


def _binary(scores: Tensor, targets: Tensor) -> Tensor:
    if len(targets) == 0:
        return scores[:, 1:].sum() * 0.0
    log_p = scores[:, 1:].log_softmax(-1)
    chosen = log_p.gather(1, targets.unsqueeze(1) - 1)
    # log(1 - p) of every item but the target
    log_rest = torch.log1p(-log_p.exp().clamp_max(1 - 1e-6))
    rest = log_rest.sum(1) - log_rest.gather(1, targets.unsqueeze(1) - 1).squeeze(1)
    return -(chosen.squeeze(1) + rest).mean()
