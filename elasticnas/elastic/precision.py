"""Float64 computation with a model whose weights keep their own dtype."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["InFloat64"]

_CHUNK = 2**18  # elements of a weight that are converted at once
_PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.addmm.default}
_LOOKUPS = {
    torch.ops.aten.embedding.default,
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_select.default,
    torch.ops.aten.gather.default,
}


class InFloat64(TorchDispatchMode):
    """Runs each floating-point operation in float64, without a float64 copy of the model.

    The operands of one operation are converted at a time, and a large weight in parts. Casts to another floating-point
    dtype keep float64. An operation without a float64 kernel runs in float32, or else in the dtype of its weights.

    Attributes:
        eps: Machine epsilon of the narrowest dtype that an operation ran in.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.eps = torch.finfo(torch.float64).eps

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func.is_view or func._schema.is_mutable:
            return func(*args, **kwargs)
        if isinstance(dtype := kwargs.get("dtype"), torch.dtype) and dtype.is_floating_point:
            kwargs["dtype"] = torch.float64
        if func in _LOOKUPS:
            return _wide(func(*args, **kwargs))
        if func in _PRODUCTS and args[-1].dtype != torch.float64 and args[-1].numel() > _CHUNK:
            return _product(args, kwargs)
        if not any(_floating(x) for x in tree_leaves((args, kwargs))):
            return _wide(func(*args, **kwargs))
        return self._run(func, args, kwargs)

    def _run(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        given = [x.dtype for x in tree_leaves((args, kwargs)) if _floating(x)]
        dtypes = (torch.float64, torch.float32, min(given, key=lambda dtype: -torch.finfo(dtype).eps))
        for position, dtype in enumerate(dtypes):
            try:
                args_, kwargs_ = _converted((args, kwargs), dtype)
                found = _wide(func(*args_, **kwargs_))
            except (RuntimeError, NotImplementedError, ValueError):
                if position == len(dtypes) - 1:
                    raise
                continue
            self.eps = max(self.eps, torch.finfo(dtype).eps)
            return found
        raise AssertionError


def _product(args: Any, kwargs: Any) -> Tensor:
    """Return ``a @ b``, or ``bias + a @ b``, with ``b`` converted in parts of its columns."""
    *bias, a, b = args
    a, step = a.double(), max(1, _CHUNK // len(b))
    product: Tensor = a.new_empty(len(a), b.shape[1])
    part = a.new_empty(step, len(b))  # reused, since many allocations would fragment the heap
    for columns, found in zip(b.t().split(step), product.split(step, 1), strict=True):
        found.copy_(a @ part[: len(columns)].copy_(columns).t())
    product *= kwargs.get("alpha", 1)
    if bias:
        product += kwargs.get("beta", 1) * bias[0].double()
    return product


def _floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _converted(tree: Any, dtype: torch.dtype) -> Any:
    return tree_map(lambda x: x.to(dtype) if _floating(x) else x, tree)


def _wide(tree: Any) -> Any:
    return _converted(tree, torch.float64)
