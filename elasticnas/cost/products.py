"""FLOPs of torch's operations that sum products, one multiply-add being 2 FLOPs."""

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.utils import flop_counter

__all__ = ["flops_of"]

_aten = torch.ops.aten
_COMPLEX = 4  # real multiply-adds in a complex one


def flops_of(packet: Any, out: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
    """FLOPs of one call of an operation; None where no formula is known.

    Formulas are those below, then those of torch, to which ``torch.utils.flop_counter.register_flop_formula`` adds.

    Args:
        packet: The operation, all overloads.
        out: What the call gave.
        args: Its arguments.
        kwargs: Its keyword arguments.
    """
    packet = _out_of_place(packet)
    if packet in _FORMULAS:
        flops = _FORMULAS[packet](out, *args, **kwargs)
    elif packet in flop_counter.flop_registry:
        flops = int(flop_counter.flop_registry[packet](*args, **kwargs, out_val=out))
    else:
        return None
    return flops * _COMPLEX if isinstance(out, Tensor) and out.is_complex() else flops


def _out_of_place(packet: Any) -> Any:
    """``addmm`` for ``addmm_``."""
    name = packet._qualified_op_name
    if name.startswith("aten::") and name.endswith("_") and hasattr(_aten, name[6:-1]):
        return getattr(_aten, name[6:-1])
    return packet


def _rows(out: Tensor, /, a: Tensor, *_: Any, **__: Any) -> int:
    """``a @ b`` in any batch, also where b is packed: each output sums over the last dimension of a."""
    return 2 * out.numel() * a.shape[-1]


def _added(out: Tensor, /, _: Any, a: Tensor, *__: Any, **___: Any) -> int:
    """``x + a @ b``."""
    return 2 * out.numel() * a.shape[-1]


def _added_over_batch(out: Tensor, /, _: Any, a: Tensor, *__: Any, **___: Any) -> int:
    """``x + sum over the batch of a @ b``."""
    return 2 * out.numel() * a.shape[0] * a.shape[-1]


def _dot(_: Tensor, /, a: Tensor, *__: Any, **___: Any) -> int:
    return 2 * a.numel()


def _grouped(_: Tensor, /, a: Tensor, b: Tensor, *__: Any, **___: Any) -> int:
    """Products of groups: rows, columns or the inner dimension of a 2-d operand are divided among the groups."""
    batch = a.shape[0] if a.ndim == b.ndim == 3 else 1
    return 2 * batch * a.shape[-2] * a.shape[-1] * b.shape[-1]


def _several(out: list[Tensor], /, a: list[Tensor], *_: Any, **__: Any) -> int:
    return sum(_rows(each, left) for each, left in zip(out, a, strict=True))


def _bilinear(_: Tensor, /, x: Tensor, weight: Tensor, y: Tensor, *__: Any, **___: Any) -> int:
    """``(x W_o) y`` for each output o: as torch computes it, first with x, then with y."""
    outputs, x_features, y_features = weight.shape
    return 2 * prod(x.shape[:-1]) * outputs * y_features * (x_features + 1)


def _conv_tbc(out: Tensor, /, _: Tensor, weight: Tensor, *__: Any, **___: Any) -> int:
    kernel, inputs, _outputs = weight.shape
    return 2 * out.numel() * kernel * inputs


def _embedding_bag(
    _: Any, /, table: Tensor, indices: Tensor, offsets: Tensor, scale_grad_by_freq: bool = False, mode: int = 0,
    sparse: bool = False, per_sample_weights: Tensor | None = None, *__: Any, **___: Any,
) -> int:  # fmt: skip
    """A sum with weights is a product; without them only additions."""
    return 0 if per_sample_weights is None else 2 * indices.numel() * table.shape[-1]


def _attention(_: Any, /, query: Tensor, key: Tensor, value: Tensor, *__: Any, **___: Any) -> int:
    return int(flop_counter.sdpa_flop_count(query.shape, key.shape, value.shape))


_BY_NAME: Mapping[str, Callable[..., int]] = {
    "mm": _rows,
    "bmm": _rows,
    "mv": _rows,
    "linear": _rows,
    "_int_mm": _rows,
    "_scaled_mm_v2": _rows,
    "_weight_int8pack_mm": _rows,
    "_weight_int4pack_mm": _rows,
    "_weight_int4pack_mm_for_cpu": _rows,
    "addmm": _added,
    "baddbmm": _added,
    "addmv": _added,
    "_addmm_activation": _added,
    "addbmm": _added_over_batch,
    "dot": _dot,
    "vdot": _dot,
    "_grouped_mm": _grouped,
    "_scaled_grouped_mm": _grouped,
    "_scaled_grouped_mm_v2": _grouped,
    "_foreach_mm": _several,
    "_trilinear": _bilinear,
    "conv_tbc": _conv_tbc,
    "_embedding_bag": _embedding_bag,
    "_embedding_bag_forward_only": _embedding_bag,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
}
# an older torch has not all of them
_FORMULAS: Mapping[Any, Callable[..., int]] = MappingProxyType(
    {getattr(_aten, name): formula for name, formula in _BY_NAME.items() if hasattr(_aten, name)}
)
