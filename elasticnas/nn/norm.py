"""LayerNorm and RMSNorm: statistics over the active features only."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elasticnas.axes import (
    SizeLike,
    active_size,
    apply_support,
    full_size,
    is_elastic,
    is_per_sample,
    mask,
    require_sizes,
    select,
    without_dead,
)
from elasticnas.nn.linear import check_width
from elasticnas.nn.module import ElasticModule, inherit, normal

__all__ = ["ElasticLayerNorm", "ElasticRMSNorm", "LayerNorm", "RMSNorm"]


def LayerNorm(
    hidden: SizeLike,
    eps: float = 1e-5,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> "nn.LayerNorm | ElasticLayerNorm":
    """Make a layer normalisation, ``(..., hidden) -> (..., hidden)``; a ``torch.nn.LayerNorm`` if the size is an int.

    Args:
        hidden: Features.
        eps: Added to the variance.
        device: As in torch.
        dtype: As in torch.

    Raises:
        AxisError: The size is below 1.
    """
    require_sizes("LayerNorm", hidden=hidden)
    if not is_elastic(hidden):
        return nn.LayerNorm(active_size(hidden), eps, device=device, dtype=dtype)
    return ElasticLayerNorm(hidden, eps, device, dtype)


def RMSNorm(
    hidden: SizeLike,
    eps: float | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> "nn.RMSNorm | ElasticRMSNorm":
    """Make a root-mean-square normalisation, ``(..., hidden) -> (..., hidden)``; a ``torch.nn.RMSNorm`` for an int.

    Args:
        hidden: Features.
        eps: Added to the mean square; None means the machine epsilon of the dtype of the computation, at least
            float32, as in torch.
        device: As in torch.
        dtype: As in torch.

    Raises:
        AxisError: The size is below 1.
    """
    require_sizes("RMSNorm", hidden=hidden)
    if not is_elastic(hidden):
        return nn.RMSNorm(active_size(hidden), eps, device=device, dtype=dtype)
    return ElasticRMSNorm(hidden, eps, device, dtype)


def _to_float32(x: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """Convert to float32 or wider, as torch's norms do internally."""
    wide = torch.promote_types(x.dtype, torch.float32)
    return x.to(wide), m.to(wide)


def _squared_mask_sum(m: Tensor) -> Tensor:
    """Return ``sum(m^2)``, kept above 0 for architectures without any unit."""
    return (m * m).sum(-1, keepdim=True).clamp_min(torch.finfo(m.dtype).tiny)


class ElasticLayerNorm(ElasticModule):
    """Layer normalisation over an elastic dimension, made by :func:`LayerNorm`.

    With a mask m, by which x is already multiplied: mu = sum(m x) / sum(m^2), var = sum((x - m mu)^2) / sum(m^2),
    out = (x - m mu) / sqrt(var + eps) * weight + m * bias. With a hard mask this is the norm of the active part.
    """

    def __init__(
        self, hidden: SizeLike, eps: float, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        super().__init__()
        self.hidden, self.eps = hidden, eps
        full = nn.LayerNorm(full_size(hidden), eps, device=device, dtype=dtype)
        self.weight, self.bias = full.weight, full.bias

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``(..., hidden) -> (..., hidden)``."""
        check_width(x, self.hidden, self)
        weight, bias = select(self.weight, (self.hidden,)), select(self.bias, (self.hidden,))
        m = mask(self.hidden, x)
        if m is None:
            return F.layer_norm(x, (x.shape[-1],), weight, bias, self.eps)
        x, m, dtype = *_to_float32(apply_support(x, self.hidden), m), x.dtype
        weight, bias = without_dead(weight, (self.hidden,)), without_dead(bias, (self.hidden,))
        units = _squared_mask_sum(m)
        mean = (m * x).sum(-1, keepdim=True) / units
        centred = torch.addcmul(x, m, mean, value=-1)
        variance = torch.linalg.vector_norm(centred, dim=-1, keepdim=True).square() / units
        out = torch.addcmul(m * bias, centred * torch.rsqrt(variance + self.eps), weight).to(dtype)
        return apply_support(out, self.hidden) if is_per_sample(self.hidden) else out

    def tensor_sizes(self) -> dict[str, list[SizeLike]]:
        """Return the sizes of weight and bias."""
        return {"weight": [self.hidden], "bias": [self.hidden]}

    def example(self, generator: torch.Generator) -> tuple[Tensor]:
        """Return a random input ``(2, 5, hidden)``."""
        return (normal(generator, self.weight, 2, 5, active_size(self.hidden)),)

    def plain(self, memo: dict[Any, Any]) -> nn.LayerNorm:
        """Return a ``torch.nn.LayerNorm`` of the active size."""
        plain = nn.LayerNorm(active_size(self.hidden), self.eps, device="meta")
        plain.weight = inherit(self.weight, [self.hidden], memo)
        plain.bias = inherit(self.bias, [self.hidden], memo)
        return plain

    def extra_repr(self) -> str:
        """Return the size for ``repr``."""
        return f"hidden={self.hidden!r}, eps={self.eps}"


class ElasticRMSNorm(ElasticModule):
    """Root-mean-square normalisation over an elastic dimension, made by :func:`RMSNorm`.

    With a mask m, by which x is already multiplied, the mean square is sum(x^2) / sum(m^2).
    """

    def __init__(
        self,
        hidden: SizeLike,
        eps: float | None,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.hidden, self.eps = hidden, eps
        self.weight = nn.RMSNorm(full_size(hidden), eps, device=device, dtype=dtype).weight

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``(..., hidden) -> (..., hidden)``."""
        check_width(x, self.hidden, self)
        weight = select(self.weight, (self.hidden,))
        m = mask(self.hidden, x)
        if m is None:
            return F.rms_norm(x, (x.shape[-1],), weight, self.eps)
        x, m, dtype = *_to_float32(apply_support(x, self.hidden), m), x.dtype
        eps = torch.finfo(x.dtype).eps if self.eps is None else self.eps
        weight = without_dead(weight, (self.hidden,))
        mean_square = (x * x).sum(-1, keepdim=True) / _squared_mask_sum(m)
        return apply_support((x * torch.rsqrt(mean_square + eps) * weight).to(dtype), self.hidden)

    def tensor_sizes(self) -> dict[str, list[SizeLike]]:
        """Return the size of the weight."""
        return {"weight": [self.hidden]}

    def example(self, generator: torch.Generator) -> tuple[Tensor]:
        """Return a random input ``(2, 5, hidden)``."""
        return (normal(generator, self.weight, 2, 5, active_size(self.hidden)),)

    def plain(self, memo: dict[Any, Any]) -> nn.RMSNorm:
        """Return a ``torch.nn.RMSNorm`` of the active size."""
        plain = nn.RMSNorm(active_size(self.hidden), self.eps, device="meta")
        plain.weight = inherit(self.weight, [self.hidden], memo)
        return plain

    def extra_repr(self) -> str:
        """Return the size for ``repr``."""
        return f"hidden={self.hidden!r}, eps={self.eps}"
