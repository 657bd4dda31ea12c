"""Parameter: a bare elastic parameter, such as a position table or a class token."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.axes import (
    EXTRACTING,
    SizeLike,
    active_size,
    apply_mask,
    full_size,
    is_elastic,
    is_per_sample,
    require_batch,
    require_sizes,
    select,
)
from elasticnas.errors import AxisError, ExtractionError
from elasticnas.nn.module import ElasticModule, has_hooks, inherit, require_all_named

__all__ = ["ElasticParameter", "Parameter", "align"]


def Parameter(
    *sizes: SizeLike,
    std: float = 0.02,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> "nn.Parameter | ElasticParameter":
    """Make a parameter with one size per dimension; a ``torch.nn.Parameter`` if all are ints.

    An elastic parameter is used like a tensor: ``x + self.positions``, ``self.positions[:n]``. In a scope with an
    architecture per sample, use :func:`align`.

    Args:
        *sizes: Ints, axes, or products.
        std: Standard deviation of the normally distributed initial values.
        device: As in torch.
        dtype: As in torch.

    Raises:
        AxisError: A size is below 1.
    """
    for size in sizes:
        require_sizes("Parameter", size=size)
    if is_elastic(*sizes):
        return ElasticParameter(sizes, std, device, dtype)
    shape = [active_size(size) for size in sizes]
    return nn.Parameter(torch.empty(shape, device=device, dtype=dtype).normal_(std=std))


def align(parameter: "Tensor | ElasticParameter", x: Tensor) -> Tensor:
    """Return a parameter in a shape that broadcasts against an activation, in every scope.

    ``x * align(self.scale, x)`` and ``x + align(self.positions, x)[..., :n, :]`` are correct for one architecture and
    for one per sample; a class token is ``align(self.token, x).expand(len(x), -1, -1)``. A bare ``x * self.scale``
    raises AxisError in a scope with an architecture per sample: the masked parameter has a batch dimension in front,
    which torch would broadcast against a dimension of ``x`` that need not be the batch.

    The batch must be dimension 0 of ``x``. If the sequence comes first instead, this is noticed only if its length
    differs from the batch size.

    Args:
        parameter: Made by :func:`Parameter`. Its sizes ``(..., c)`` belong to the last dimensions of ``x``, or to all
            dimensions if its first size is 1.
        x: ``(B, ..., c)``.

    Returns:
        The active part, ``(..., c)``; with an architecture per sample ``(B, 1, ..., 1, ..., c)``, with as many
        dimensions as ``x``.

    Raises:
        AxisError: ``x`` has no batch dimension besides those of the parameter, or another batch size.
    """
    if isinstance(x, ElasticParameter):
        raise AxisError("align(x, parameter): the parameter comes first, align(parameter, x)")
    if not isinstance(parameter, ElasticParameter):
        return parameter
    active = parameter._masked()
    own = len(parameter.sizes)
    if active.ndim == own:
        return active
    require_batch(active, x)
    first = parameter.sizes[0]
    if own == x.ndim and isinstance(first, int) and first == 1:  # the parameter's first dimension is that of the batch
        return active.squeeze(1)
    if x.ndim <= own:
        raise AxisError(
            f"align: x has the shape {tuple(x.shape)}, but the parameter has {own} dimensions: x must have these and a "
            "batch dimension in front"
        )
    return active.reshape(active.shape[0], *(1,) * (x.ndim - own - 1), *active.shape[1:])


def _as_tensor(value: Any) -> Any:
    return value() if isinstance(value, ElasticParameter) else value


def _tensor_method(name: str) -> Callable[..., Any]:
    """Return a method that calls the method of this name on the active tensor."""

    def method(self: Any, *args: object, **kwargs: object) -> Any:
        return getattr(self(), name)(*map(_as_tensor, args), **kwargs)

    method.__name__ = name
    method.__doc__ = f"Call ``Tensor.{name}`` on the active tensor."
    return method


class ElasticParameter(ElasticModule):
    """A parameter with an elastic size, made by :func:`Parameter`."""

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
        """Return the active tensor: narrowed if sliced, at full size and masked if masked.

        Raises:
            AxisError: The scope has an architecture per sample: use :func:`align`.
        """
        if any(is_per_sample(size) for size in self.sizes):
            raise AxisError(
                f"a parameter {self!r} is used in a scope with an architecture per sample, where torch would line its "
                "batch up with another dimension: write x * enn.align(parameter, x), and the same for other "
                "elementwise operations; an operation that sums, such as F.conv1d, needs its own module "
                "(docs/own-primitive.md)"
            )
        return self._masked()

    def _masked(self) -> Tensor:
        """Return the active tensor, with the batch dimension in front if masks are per sample."""
        # unsqueeze: a per-sample mask needs a batch dimension in front
        out = select(self.weight, self.sizes).unsqueeze(0)
        for dim, size in enumerate(self.sizes):
            out = apply_mask(out, size, dim - len(self.sizes))
        return out if any(is_per_sample(size) for size in self.sizes) else out.squeeze(0)

    def tensor_sizes(self) -> dict[str, tuple[SizeLike, ...]]:
        """Return the sizes of the parameter."""
        return {"weight": self.sizes}

    def example(self, generator: torch.Generator) -> tuple[()]:
        """Return no arguments."""
        return ()

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        if EXTRACTING not in memo:
            return super().__deepcopy__(memo)
        require_all_named(self)
        if has_hooks(self) or type(self).forward is not ElasticParameter.forward:
            raise ExtractionError(
                f"{type(self).__name__} has hooks or its own forward, which the torch.nn.Parameter that replaces it "
                "cannot have: put them into the module that holds it"
            )
        memo[id(self)] = inherit(self.weight, self.sizes, memo)
        return memo[id(self)]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("__") or not hasattr(Tensor, name):
                raise
            active = self()
            if name.endswith("_") and active.untyped_storage().data_ptr() != self.weight.untyped_storage().data_ptr():
                raise AxisError(
                    f"{name} would change a copy of {self!r}, since masks and composite sizes make copies: change its "
                    "weight instead"
                ) from None
            return getattr(active, name)

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch with the active tensor in place of the parameter."""
        args = torch.utils._pytree.tree_map(_as_tensor, args)
        return function(*args, **torch.utils._pytree.tree_map(_as_tensor, kwargs or {}))

    def extra_repr(self) -> str:
        """Return the sizes for ``repr``."""
        return ", ".join(map(repr, self.sizes))

    # operators; and conversions, which nn.Module would apply to the weights in place
    __add__ = _tensor_method("__add__")
    __radd__ = _tensor_method("__radd__")
    __sub__ = _tensor_method("__sub__")
    __rsub__ = _tensor_method("__rsub__")
    __mul__ = _tensor_method("__mul__")
    __rmul__ = _tensor_method("__rmul__")
    __truediv__ = _tensor_method("__truediv__")
    __rtruediv__ = _tensor_method("__rtruediv__")
    __floordiv__ = _tensor_method("__floordiv__")
    __rfloordiv__ = _tensor_method("__rfloordiv__")
    __mod__ = _tensor_method("__mod__")
    __rmod__ = _tensor_method("__rmod__")
    __pow__ = _tensor_method("__pow__")
    __rpow__ = _tensor_method("__rpow__")
    __matmul__ = _tensor_method("__matmul__")
    __rmatmul__ = _tensor_method("__rmatmul__")
    __and__ = _tensor_method("__and__")
    __rand__ = _tensor_method("__rand__")
    __or__ = _tensor_method("__or__")
    __ror__ = _tensor_method("__ror__")
    __xor__ = _tensor_method("__xor__")
    __rxor__ = _tensor_method("__rxor__")
    __lt__ = _tensor_method("__lt__")
    __le__ = _tensor_method("__le__")
    __gt__ = _tensor_method("__gt__")
    __ge__ = _tensor_method("__ge__")
    __neg__ = _tensor_method("__neg__")
    __pos__ = _tensor_method("__pos__")
    __abs__ = _tensor_method("__abs__")
    __invert__ = _tensor_method("__invert__")
    __getitem__ = _tensor_method("__getitem__")
    __len__ = _tensor_method("__len__")
    __iter__ = _tensor_method("__iter__")
    __contains__ = _tensor_method("__contains__")
    __bool__ = _tensor_method("__bool__")
    __float__ = _tensor_method("__float__")
    __int__ = _tensor_method("__int__")
    to = _tensor_method("to")
    type = _tensor_method("type")
    half = _tensor_method("half")
    float = _tensor_method("float")
    double = _tensor_method("double")
    bfloat16 = _tensor_method("bfloat16")
    cpu = _tensor_method("cpu")
    cuda = _tensor_method("cuda")
    xpu = _tensor_method("xpu")

    def __eq__(self, other: object) -> Any:
        # identity for other objects: dictionaries and weak references compare modules as keys
        return self() == _as_tensor(other) if isinstance(other, (Tensor, int, float, complex)) else self is other

    def __ne__(self, other: object) -> Any:
        return self() != _as_tensor(other) if isinstance(other, (Tensor, int, float, complex)) else self is not other

    __hash__ = ElasticModule.__hash__
