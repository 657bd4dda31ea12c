"""DataAwareGate: a factor for every unit, computed from the input sequence."""

import torch
from torch import Tensor

from elasticnas.axes import SizeLike, active_size, apply_support, require_sizes
from elasticnas.errors import ConfigError
from elasticnas.nn.linear import Linear
from elasticnas.nn.module import ElasticModule, normal

__all__ = ["DataAwareGate"]


class DataAwareGate(ElasticModule):
    """``scale * sigmoid(W2 relu(W1 x + b1) + b2)``, ``(..., inputs) -> (..., outputs)``, values in (0, scale).

    The result is to multiply an activation. Dead outputs are set to 0 after the sigmoid (sigmoid(0) is 0.5); soft
    masks are not applied, since the activation carries them.

    Args:
        inputs: Width of the input sequence.
        outputs: Width of the activation that the gate multiplies.
        layers: 2 as in the paper, or 1: ``scale * sigmoid(W x + b)``.
        scale: gamma of Eq. 7.
        rank: Width between the two layers; None means ``outputs``.

    Raises:
        ConfigError: ``layers`` is neither 1 nor 2.
        AxisError: A size is below 1.

    Source: EASRec, arXiv:2402.00390v1, Eq. 6 and 7; Table V compares 2, 1 and no layers.
    """

    def __init__(
        self,
        inputs: SizeLike,
        outputs: SizeLike,
        layers: int = 2,
        scale: float = 2.0,
        rank: SizeLike | None = None,
    ) -> None:
        super().__init__()
        if layers not in (1, 2):
            raise ConfigError(f"layers={layers}: a data-aware gate has 1 or 2 layers")
        between = outputs if rank is None else rank
        require_sizes("DataAwareGate", inputs=inputs, outputs=outputs, rank=between)
        self.inputs, self.outputs, self.scale = inputs, outputs, scale
        self.cross = Linear(inputs, between) if layers == 2 else None
        self.perceive = Linear(between if layers == 2 else inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``(..., inputs) -> (..., outputs)``."""
        if self.cross is not None:
            x = torch.relu(self.cross(x))
        return apply_support(self.scale * torch.sigmoid(self.perceive(x)), self.outputs)

    def example(self, generator: torch.Generator) -> tuple[Tensor]:
        """Return a random input ``(2, 5, inputs)``."""
        return (normal(generator, self.perceive.weight, 2, 5, active_size(self.inputs)),)
