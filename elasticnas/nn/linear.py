"""Linear: a linear layer whose input and output sizes may be elastic."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elasticnas.axes import (
    Size,
    SizeLike,
    active_size,
    apply_mask,
    apply_support,
    full_size,
    is_cut,
    is_elastic,
    is_masked,
    is_sliced,
    is_traced,
    require_sizes,
    select,
    soft_mask,
    without_dead,
)
from elasticnas.errors import AxisError
from elasticnas.nn.module import ElasticModule, inherit, normal

__all__ = ["ElasticLinear", "Linear", "check_width", "project"]


def Linear(
    inputs: SizeLike,
    outputs: SizeLike,
    bias: bool = True,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> "nn.Linear | ElasticLinear":
    """Make a linear layer, ``(..., inputs) -> (..., outputs)``; a ``torch.nn.Linear`` if both sizes are ints.

    Args:
        inputs: Input features: an int, an Axis or a product such as ``heads * head_dim``.
        outputs: Output features, of the same types.
        bias: Whether to add a bias.
        device: As in torch.
        dtype: As in torch.

    Raises:
        AxisError: A size is below 1.
    """
    require_sizes("Linear", inputs=inputs, outputs=outputs)
    if not is_elastic(inputs, outputs):
        return nn.Linear(active_size(inputs), active_size(outputs), bias, device=device, dtype=dtype)
    return ElasticLinear(inputs, outputs, bias, device, dtype)


class ElasticLinear(ElasticModule):
    """A linear layer with an elastic size, made by :func:`Linear`.

    The weight is ``(outputs, inputs)`` at full size. In a mask scope dead inputs are set to 0 and the output is
    multiplied by its mask. The mask multiplies the weight instead if all samples share it, no output is dead and the
    weight is smaller than the output. Weights of units that are dead for all samples are replaced by 0.
    """

    reads: ClassVar[Mapping[str, int]] = {"weight": 1}

    def __init__(
        self,
        inputs: SizeLike,
        outputs: SizeLike,
        bias: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        full = nn.Linear(full_size(inputs), full_size(outputs), bias, device=device, dtype=dtype)
        self.weight, self.bias = full.weight, full.bias

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``(..., inputs) -> (..., outputs)``."""
        if self._is_sliced():
            return F.linear(x, *self._active(x))
        smaller = is_masked(self.outputs) and not is_traced() and self.weight.shape[1] < x.shape[:-1].numel()
        m = soft_mask(self.outputs, self.weight) if smaller else None
        if m is not None or is_cut(self.outputs):
            return self._affine(x, m)  # the weight carries the mask
        return apply_mask(self._affine(x), self.outputs)

    def support(self, x: Tensor) -> Tensor:
        """Do the same as forward for one operand of a product: dead outputs are 0, soft masks are not applied."""
        if self._is_sliced():
            return F.linear(x, *self._active(x))
        out = self._affine(x)
        return out if is_cut(self.outputs) else apply_support(out, self.outputs)

    def _is_sliced(self) -> bool:
        size = self.outputs if isinstance(self.outputs, Size) else self.inputs
        return isinstance(size, Size) and is_sliced(size)

    def _active(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the active weight and bias, after a check of the input's width."""
        check_width(x, self.inputs, self)
        bias = None if self.bias is None else select(self.bias, (self.outputs,))
        return select(self.weight, (self.outputs, self.inputs)), bias

    def _affine(self, x: Tensor, m: Tensor | None = None) -> Tensor:
        weight, bias = self._active(x)
        if m is not None:
            weight, bias = weight * m[:, None], None if bias is None else bias * m
        weight = without_dead(weight, (self.outputs, self.inputs))
        bias = None if bias is None else without_dead(bias, (self.outputs,))
        return F.linear(apply_support(x, self.inputs), weight, bias)

    def tensor_sizes(self) -> dict[str, list[SizeLike]]:
        """Return the sizes of weight and bias."""
        bias: dict[str, list[SizeLike]] = {} if self.bias is None else {"bias": [self.outputs]}
        return {"weight": [self.outputs, self.inputs], **bias}

    def example(self, generator: torch.Generator) -> tuple[Tensor]:
        """Return a random input ``(2, 5, inputs)``."""
        return (normal(generator, self.weight, 2, 5, active_size(self.inputs)),)

    def plain(self, memo: dict[Any, Any]) -> nn.Linear:
        """Return a ``torch.nn.Linear`` of the active sizes."""
        bias = self.bias is not None
        plain = nn.Linear(active_size(self.inputs), active_size(self.outputs), bias, device="meta")
        plain.weight = inherit(self.weight, [self.outputs, self.inputs], memo)
        if bias:
            plain.bias = inherit(self.bias, [self.outputs], memo)
        return plain

    def extra_repr(self) -> str:
        """Return the sizes for ``repr``."""
        return f"inputs={self.inputs!r}, outputs={self.outputs!r}, bias={self.bias is not None}"


def project(linear: nn.Module, x: Tensor) -> Tensor:
    """Apply a linear layer to get one operand of a product; the other operand carries the soft masks."""
    out = linear.support(x) if isinstance(linear, ElasticLinear) else linear(x)
    assert isinstance(out, Tensor)
    return out


def check_width(x: Tensor, size: SizeLike, module: nn.Module) -> None:
    """Check that the last dimension of an input has the active size.

    Raises:
        AxisError: The sizes differ; the message gives both.
    """
    if x.shape[-1] != active_size(size):
        raise AxisError(
            f"{type(module).__name__} expects {active_size(size)} features for {size!r} in this scope, "
            f"but the input has the shape {tuple(x.shape)}: was it made in another scope?"
        )
