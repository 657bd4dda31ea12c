"""Parameter: a raw elastic parameter, such as a position table or a class token."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.axes import SizeLike, active_size, full_size, is_elastic, mask, require_sizes, select
from elasticnas.nn.module import ElasticModule, inherit

__all__ = ["ElasticParameter", "HeldParameter", "Parameter"]


def Parameter(
    *sizes: SizeLike,
    std: float = 0.02,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> "nn.Parameter | ElasticParameter":
    """A parameter with one size per dimension; a plain ``torch.nn.Parameter`` where all are ints.

    The elastic one is used like the tensor it stands for: ``x + self.positions``, ``self.positions[:n]``.

    Args:
        *sizes: Ints, axes, or products.
        std: Standard deviation of the normal start values.
        device: As in torch.
        dtype: As in torch.

    Raises:
        AxisError: A size below 1.
    """
    for size in sizes:
        require_sizes("Parameter", size=size)
    if is_elastic(*sizes):
        return ElasticParameter(sizes, std, device, dtype)
    shape = [active_size(size) for size in sizes]
    return nn.Parameter(torch.empty(shape, device=device, dtype=dtype).normal_(std=std))


class ElasticParameter(ElasticModule):
    """A parameter with an elastic size; use :func:`Parameter` to make one."""

    def __init__(
        self,
        sizes: tuple[SizeLike, ...],
        std: float,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.sizes = sizes
        shape = [full_size(size) for size in sizes]
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype).normal_(std=std))

    def forward(self) -> Tensor:
        """What is active: sliced, or full and masked (with a batch dimension in front for per-sample masks)."""
        full = select(self.weight, self.sizes)
        out = full
        for dim, size in enumerate(self.sizes):
            # a dimension more in front, where a per-sample mask has the batch
            m = mask(size, full.unsqueeze(0), dim - len(self.sizes))
            if m is not None:
                out = out * m
        return out

    def plain(self, memo: dict[Any, Any]) -> nn.Module:
        """Holds a ``torch.nn.Parameter`` of the active sizes until the extraction hangs it in its parent."""
        return HeldParameter(inherit(self.weight, self.sizes, memo))

    def __getitem__(self, index: Any) -> Tensor:
        active: Tensor = self()
        own = index if isinstance(index, tuple) else (index,)
        # per-sample masks put the batch in front; the index is about the parameter's own dimensions
        return active[(slice(None),) + own] if active.ndim > len(self.sizes) else active[own]  # noqa: RUF005

    def __add__(self, other: Tensor) -> Tensor:
        return self() + other  # type: ignore[no-any-return]

    __radd__ = __add__

    def __mul__(self, other: Tensor) -> Tensor:
        return self() * other  # type: ignore[no-any-return]

    __rmul__ = __mul__

    def __sub__(self, other: Tensor) -> Tensor:
        return self() - other  # type: ignore[no-any-return]

    def __rsub__(self, other: Tensor) -> Tensor:
        return other - self()  # type: ignore[no-any-return]

    def __truediv__(self, other: Tensor) -> Tensor:
        return self() / other  # type: ignore[no-any-return]

    def __matmul__(self, other: Tensor) -> Tensor:
        return self() @ other  # type: ignore[no-any-return]

    def __rmatmul__(self, other: Tensor) -> Tensor:
        return other @ self()  # type: ignore[no-any-return]

    def __neg__(self) -> Tensor:
        return -self()  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("__") or not hasattr(Tensor, name):
                raise
            return getattr(self(), name)

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Let torch's functions take it where they take a tensor."""
        args = torch.utils._pytree.tree_map(_as_tensor, args)
        return function(*args, **torch.utils._pytree.tree_map(_as_tensor, kwargs or {}))

    def extra_repr(self) -> str:
        """Sizes, as torch prints them."""
        return ", ".join(map(repr, self.sizes))


class HeldParameter(nn.Module):
    """A parameter on its way into its parent's place."""

    def __init__(self, parameter: nn.Parameter) -> None:
        super().__init__()
        self.parameter = parameter


def _as_tensor(value: Any) -> Any:
    return value() if isinstance(value, ElasticParameter) else value
