"""FLOPs of torch's operations that sum products; one multiply-add is 2 FLOPs."""

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.utils import flop_counter

__all__ = ["flops_of"]

_aten = torch.ops.aten
_COMPLEX = 4  # real multiply-adds per complex one


def flops_of(packet: Any, out: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
    """Return the FLOPs of one call of an operation; None without a formula.

    Uses the formulas below, then those registered with torch (``torch.utils.flop_counter.register_flop_formula``).

    Args:
        packet: The operation, all overloads.
        out: Output of the call.
        args: Arguments of the call.
        kwargs: Keyword arguments of the call.
    """
    packet = _out_of_place(packet)
    if packet in _FORMULAS:
        if any(isinstance(arg, Tensor) and arg.layout is not torch.strided for arg in args):
            return None  # sparse or jagged: the formulas take every entry as present
        flops = _FORMULAS[packet](out, *args, **kwargs)
    elif (name := getattr(packet, "_qualified_op_name", "")) in _OF_LIBRARIES:
        flops = _OF_LIBRARIES[name](out, *args, **kwargs)
    elif packet in flop_counter.flop_registry:
        flops = int(flop_counter.flop_registry[packet](*args, **kwargs, out_val=out))
    else:
        return None
    return flops * _COMPLEX if isinstance(out, Tensor) and out.is_complex() else flops


def _out_of_place(packet: Any) -> Any:
    """Return the out-of-place operation, ``addmm`` for ``addmm_``."""
    name = getattr(packet, "_qualified_op_name", "")  # none for a higher-order operator
    if name.startswith("aten::") and name.endswith("_") and hasattr(_aten, name[6:-1]):
        return getattr(_aten, name[6:-1])
    return packet


def _matmul(out: Tensor, /, a: Tensor, *_: Any, **__: Any) -> int:
    """``a @ b`` with any batch dimensions, b possibly packed: each output sums over the last dimension of a."""
    return 2 * out.numel() * a.shape[-1]


def _addmm(out: Tensor, /, _: Any, a: Tensor, *__: Any, **___: Any) -> int:
    """``x + a @ b``."""
    return 2 * out.numel() * a.shape[-1]


def _addbmm(out: Tensor, /, _: Any, a: Tensor, *__: Any, **___: Any) -> int:
    """``x + sum over the batch of a @ b``."""
    return 2 * out.numel() * a.shape[0] * a.shape[-1]


def _dot(_: Tensor, /, a: Tensor, *__: Any, **___: Any) -> int:
    return 2 * a.numel()


def _grouped_matmul(_: Tensor, /, a: Tensor, b: Tensor, *__: Any, **___: Any) -> int:
    """Grouped ``a @ b``: the groups divide the rows, columns or inner dimension of a 2-d operand."""
    batch = a.shape[0] if a.ndim == b.ndim == 3 else 1
    return 2 * batch * a.shape[-2] * a.shape[-1] * b.shape[-1]


def _foreach_matmul(out: list[Tensor], /, a: list[Tensor], *_: Any, **__: Any) -> int:
    return sum(_matmul(each, left) for each, left in zip(out, a, strict=True))


def _bilinear(_: Tensor, /, x: Tensor, weight: Tensor, y: Tensor, *__: Any, **___: Any) -> int:
    """``(x W_o) y`` for each output o, computed as torch does: first with x, then with y."""
    outputs, x_features, y_features = weight.shape
    return 2 * prod(x.shape[:-1]) * outputs * y_features * (x_features + 1)


def _conv_tbc(out: Tensor, /, _: Tensor, weight: Tensor, *__: Any, **___: Any) -> int:
    kernel, inputs, _outputs = weight.shape
    return 2 * out.numel() * kernel * inputs


def _embedding_bag(
    _: Any, /, table: Tensor, indices: Tensor, offsets: Tensor, scale_grad_by_freq: bool = False, mode: int = 0,
    sparse: bool = False, per_sample_weights: Tensor | None = None, *__: Any, **___: Any,
) -> int:  # fmt: skip
    """A weighted sum counts; an unweighted one has additions only."""
    return 0 if per_sample_weights is None else 2 * indices.numel() * table.shape[-1]


def _attention(_: Any, /, query: Tensor, key: Tensor, value: Tensor, *__: Any, **___: Any) -> int:
    return int(flop_counter.sdpa_flop_count(query.shape, key.shape, value.shape))


def _mkldnn_lstm(_: Any, /, x: Tensor, input_weight: Tensor, state_weight: Tensor, *__: Any, **___: Any) -> int:
    """One layer in one direction: inputs ``(N, B, d)``, weights ``(4 k, d)`` and ``(4 k, k)``."""
    return 2 * prod(x.shape[:-1]) * (input_weight.numel() + state_weight.numel())


_BY_NAME: Mapping[str, Callable[..., int]] = {
    "mm": _matmul,
    "bmm": _matmul,
    "mv": _matmul,
    "linear": _matmul,
    "_int_mm": _matmul,
    "_scaled_mm_v2": _matmul,
    "_weight_int8pack_mm": _matmul,
    "_weight_int4pack_mm": _matmul,
    "_weight_int4pack_mm_for_cpu": _matmul,
    "addmm": _addmm,
    "baddbmm": _addmm,
    "addmv": _addmm,
    "_addmm_activation": _addmm,
    "addbmm": _addbmm,
    "dot": _dot,
    "vdot": _dot,
    "_grouped_mm": _grouped_matmul,
    "_scaled_grouped_mm": _grouped_matmul,
    "_scaled_grouped_mm_v2": _grouped_matmul,
    "_foreach_mm": _foreach_matmul,
    "_trilinear": _bilinear,
    "conv_tbc": _conv_tbc,
    "mkldnn_rnn_layer": _mkldnn_lstm,
    "_embedding_bag": _embedding_bag,
    "_embedding_bag_forward_only": _embedding_bag,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
}
# older versions of torch lack some of them
_FORMULAS: Mapping[Any, Callable[..., int]] = MappingProxyType(
    {getattr(_aten, name): formula for name, formula in _BY_NAME.items() if hasattr(_aten, name)}
    | {operation: _attention for operation in [getattr(torch.ops.higher_order, "flex_attention", None)] if operation}
)
# operations of libraries, which register them when they are imported
_OF_LIBRARIES: Mapping[str, Callable[..., int]] = {"transformers::grouped_mm_fallback": _grouped_matmul}
