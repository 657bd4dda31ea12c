"""ProductCounter: the FLOPs of the operations that run while it is open, and the names of those it cannot count."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from elasticnas.cost.free import is_free
from elasticnas.cost.products import flops_of

__all__ = ["ProductCounter", "VecdotAsProduct"]


class ProductCounter(TorchDispatchMode):
    """Counts every operation that sums products, and names every other that is not known to count 0.

    Attributes:
        flops: FLOPs so far, one multiply-add being 2.
        uncounted: Names of operations met that count 0 here although they may not: factorisations, Fourier
            transforms, operations of other libraries without a registered formula.
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
        # inference mode hands over compositions undivided; what they consist of is counted
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
    """Runs ``torch.linalg.vecdot`` as a product besides: torch composes it of a multiplication and a sum."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function; its product first."""
        kwargs = kwargs or {}
        if func is torch.linalg.vecdot:
            _as_product(*args, **{name: value for name, value in kwargs.items() if name != "out"})
        return func(*args, **kwargs)


def _as_product(x: torch.Tensor, y: torch.Tensor, dim: int = -1) -> torch.Tensor:
    x, y = x.movedim(dim, -1), y.movedim(dim, -1)
    return (x.unsqueeze(-2) @ y.unsqueeze(-1)).squeeze((-1, -2))
