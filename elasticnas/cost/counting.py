"""ProductCounter: count the FLOPs of the operations that run, and name the operations without a formula."""

from typing import Any

import torch
from torch._ops import HigherOrderOperator
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from elasticnas.cost.free import is_free
from elasticnas.cost.products import flops_of

__all__ = ["FunctionCounter", "ProductCounter"]


class ProductCounter(TorchDispatchMode):
    """A dispatch mode that counts operations that sum products and names those that may not count 0.

    Attributes:
        flops: FLOPs so far; one multiply-add is 2 FLOPs.
        uncounted: Names of operations so far without a formula, which are not counted: factorisations, Fourier
            transforms, operations of other libraries.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.uncounted: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count it."""
        kwargs = kwargs or {}
        if isinstance(func, HigherOrderOperator):
            return self._count(func, func, args, kwargs)
        if is_free(func):
            return func(*args, **kwargs)
        # in inference mode, composite operations arrive whole: count their parts
        with self:
            parts = func.decompose(*args, **kwargs)
        return self._count(func, func._overloadpacket, args, kwargs) if parts is NotImplemented else parts

    def _count(self, func: Any, packet: Any, args: Any, kwargs: Any) -> Any:
        out = func(*args, **kwargs)
        flops = flops_of(packet, out, args, kwargs)
        if flops is None:
            self.uncounted.add(func.name().partition(".")[0].replace("::", "."))
        else:
            self.flops += flops
        return out


class FunctionCounter(TorchFunctionMode):
    """A mode for functions that the dispatch mode does not see as products.

    torch runs ``torch.linalg.vecdot`` as a multiplication and a sum, which count 0; what NumPy computes is unknown.

    Args:
        counter: Counts the operations.
    """

    def __init__(self, counter: ProductCounter) -> None:
        super().__init__()
        self._counter = counter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function; before ``vecdot``, run an equivalent matrix product."""
        kwargs = kwargs or {}
        if func is torch.linalg.vecdot:
            _matmul_vecdot(*args, **{name: value for name, value in kwargs.items() if name != "out"})
        elif func in _TO_NUMPY and args[0].is_floating_point():
            self._counter.uncounted.add("numpy")
        return func(*args, **kwargs)


_TO_NUMPY = (torch.Tensor.numpy, torch.Tensor.__array__)


def _matmul_vecdot(x: torch.Tensor, y: torch.Tensor, dim: int = -1) -> torch.Tensor:
    x, y = x.movedim(dim, -1), y.movedim(dim, -1)
    return (x.unsqueeze(-2) @ y.unsqueeze(-1)).squeeze((-1, -2))
