"""Fast shapes for meta tensors: skip torch's shape rules in Python for common operations with a known output shape."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["ElementwiseShapes", "MatmulShapes"]

_aten = torch.ops.aten
_LIKE_FIRST = {
    _aten.gelu.default,
    _aten.relu.default,
    _aten.silu.default,
    _aten.sigmoid.default,
    _aten.tanh.default,
    _aten.elu.default,
    _aten.rsqrt.default,
    _aten.mul.Scalar,
    _aten.native_layer_norm.default,
}
_LIKE_BOTH = {_aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor}


class ElementwiseShapes(TorchDispatchMode):
    """On meta tensors, operations that count 0 FLOPs get an output like their input. Enter it inside the counter."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return an empty output, or run the operation."""
        first = args[0] if args else None
        if isinstance(first, Tensor) and first.is_meta and first.is_floating_point():
            if func in _LIKE_FIRST:
                out = torch.empty_like(first)
                # mean and rstd have wrong shapes; inference does not read them
                return (out, out, out) if func is _aten.native_layer_norm.default else out
            if func in _LIKE_BOTH and isinstance(args[1], Tensor):
                if first.shape == args[1].shape and first.dtype == args[1].dtype:
                    return torch.empty_like(first)
            elif func is _aten.expand.default and tuple(args[1]) == tuple(first.shape):
                return first.view(first.shape)
        return func(*args, **(kwargs or {}))


class MatmulShapes(TorchDispatchMode):
    """On meta tensors, matrix products get an empty output. Enter it outside the counter, which gets them first.

    Sizes that do not match are left to torch, which raises an error.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return an empty output, or run the operation."""
        if func is _aten.addmm.default and args[0].is_meta and args[1].shape[1] == args[2].shape[0]:
            return args[0].new_empty((args[1].shape[0], args[2].shape[1]))
        if func is _aten.mm.default and args[0].is_meta and args[0].shape[1] == args[1].shape[0]:
            return args[0].new_empty((args[0].shape[0], args[1].shape[1]))
        return func(*args, **(kwargs or {}))
