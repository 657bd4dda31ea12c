"""Scoring: the kind of scores that items get, one for all networks or a choice of the architecture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

import elasticnas.nn as enn
from easrec.config import ModelConfig
from elasticnas.axes import Axis
from elasticnas.errors import AxisError

__all__ = ["Scoring", "loss_of", "scoring"]

Compute = Callable[[Tensor, "float | None"], Tensor]


@dataclass(frozen=True)
class Scoring:
    """One kind of scores.

    Attributes:
        temperature: None for dot products; a number above 0 for cosine similarities divided by it.
    """

    temperature: float | None

    def __call__(self, y: Tensor, compute: Compute) -> Tensor:
        """Return ``compute(y, temperature)``."""
        return compute(y, self.temperature)


class _Branch(nn.Module):
    """One kind of scores, of several."""

    def __init__(self, kind: Scoring) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, y: Tensor, compute: Compute) -> Tensor:
        return self.kind(y, compute)


def scoring(config: ModelConfig, sizes: Any) -> Scoring | enn.Mixture:
    """Return the kind of scores of a network, or a mixture of the kinds that its architecture chooses from.

    In a relaxed scope the mixture is the sum of what is computed with each kind, weighted by its probability: expected
    scores, and expected losses, since the logits of different kinds are not on one scale.
    """

    def of(kind: str) -> Scoring:
        return Scoring(config.temperature if kind == "cosine" else None)

    if not config.wide.scores:
        return of(config.scores)
    kinds = config.wide.scores if isinstance(sizes.scores, Axis) else (sizes.scores,)
    return enn.Mixture({kind: _Branch(of(kind)) for kind in kinds}, sizes.scores)


def loss_of(scoring: Scoring | enn.Mixture, y: Tensor, compute: Compute) -> Tensor:
    """Return the mean loss of a batch, ``()``, from its outputs and a loss for each kind of scores.

    Raises:
        AxisError: Each sample has an architecture of its own.
    """
    loss: Tensor = scoring(y, compute)
    if loss.ndim:
        raise AxisError(
            "the mean loss of a batch has one kind of scores, but the open scope has an architecture for each sample: "
            "compute the loss in a scope for each architecture"
        )
    return loss
