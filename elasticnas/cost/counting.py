"""ProductCounter: count the FLOPs of the operations that run, and name the operations without a formula."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from elasticnas.cost.free import is_free
from elasticnas.cost.products import flops_of

__all__ = ["ProductCounter", "VecdotAsProduct"]


class ProductCounter(TorchDispatchMode):
    """A dispatch mode that counts operations that sum products and names those that may not count 0.

    Attributes:
        flops: FLOPs so far; one multiply-add is 2 FLOPs.
        uncounted: Names of operations so far without a formula, which are not counted: factorisations, Fourier
            transforms, operations of other libraries.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.uncounted: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count it."""
        kwargs = kwargs or {}
        if is_free(func):
            return func(*args, **kwargs)
        packet = func._overloadpacket
        # in inference mode, composite operations arrive whole: count their parts
        with self:
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        out = func(*args, **kwargs)
        flops = flops_of(packet, out, args, kwargs)
        if flops is None:
            self.uncounted.add(func.name().partition(".")[0].replace("::", "."))
        else:
            self.flops += flops
        return out


class VecdotAsProduct(TorchFunctionMode):
    """A mode that makes ``torch.linalg.vecdot`` count: torch runs it as a multiplication and a sum, which count 0."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function; before ``vecdot``, run an equivalent matrix product."""
        kwargs = kwargs or {}
        if func is torch.linalg.vecdot:
            _matmul_vecdot(*args, **{name: value for name, value in kwargs.items() if name != "out"})
        return func(*args, **kwargs)


def _matmul_vecdot(x: torch.Tensor, y: torch.Tensor, dim: int = -1) -> torch.Tensor:
    x, y = x.movedim(dim, -1), y.movedim(dim, -1)
    return (x.unsqueeze(-2) @ y.unsqueeze(-1)).squeeze((-1, -2))
