"""FeedForward: two linear layers, or three in the gated form."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from elasticnas.axes import SizeLike, active_size, require_sizes
from elasticnas.errors import ConfigError
from elasticnas.nn.linear import Linear, project
from elasticnas.nn.module import ElasticModule, normal

__all__ = ["FeedForward"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
}


class FeedForward(ElasticModule):
    """``down(act(up x))``, or gated ``down(act(gate x) * up x)``; ``(..., hidden) -> (..., hidden)``.

    Args:
        hidden: Model width d.
        inner: Inner width D.
        gated: Whether to use the gated form (GLU variants, arXiv:2002.05202).
        activation: ``"gelu"``, ``"relu"``, ``"silu"``, ``"tanh"``; ``"sigmoid"`` only if gated.
        dropout: Dropout probability after the activation.
        bias: Whether the linear layers have biases.

    Raises:
        ConfigError: The activation is unknown, or is ungated ``"sigmoid"``, which is not 0 at 0.
        AxisError: A size is below 1.
    """

    def __init__(
        self,
        hidden: SizeLike,
        inner: SizeLike,
        gated: bool = False,
        activation: Literal["gelu", "relu", "silu", "sigmoid", "tanh"] = "gelu",
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if activation not in _ACTIVATIONS or (activation == "sigmoid" and not gated):
            raise ConfigError(f"activation={activation!r} (gated={gated}): choose from {sorted(_ACTIVATIONS)}")
        require_sizes("FeedForward", hidden=hidden, inner=inner)
        self.hidden, self.inner, self.activation, self.dropout = hidden, inner, activation, dropout
        self.gate = Linear(hidden, inner, bias) if gated else None
        self.up = Linear(hidden, inner, bias)
        self.down = Linear(inner, hidden, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``(..., hidden) -> (..., hidden)``."""
        activate = _ACTIVATIONS[self.activation]
        if self.gate is None:
            inner = activate(self.up(x))
        else:
            # sigmoid(0) is not 0, but up(x), which carries the mask, is 0 at dead units
            inner = activate(project(self.gate, x)) * self.up(x)
        out = self.down(F.dropout(inner, self.dropout, self.training))
        assert isinstance(out, Tensor)
        return out

    def example(self, generator: torch.Generator) -> tuple[Tensor]:
        """Return a random input ``(2, 5, hidden)``."""
        return (normal(generator, self.down.weight, 2, 5, active_size(self.hidden)),)
