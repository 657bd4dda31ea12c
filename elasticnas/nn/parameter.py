"""Parameter: a raw elastic parameter, such as a position table or a class token."""

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
from elasticnas.nn.module import ElasticModule, has_hooks, inherit, refuse_strangers

__all__ = ["ElasticParameter", "Parameter", "align"]


def Parameter(
    *sizes: SizeLike,
    std: float = 0.02,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> "nn.Parameter | ElasticParameter":
    """A parameter with one size per dimension; a plain ``torch.nn.Parameter`` where all are ints.

    The elastic one is used like the tensor it stands for, ``x + self.positions``, ``self.positions[:n]``; where samples
    may have architectures of their own, through :func:`align`.

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


def align(parameter: "Tensor | ElasticParameter", x: Tensor) -> Tensor:
    """A parameter in the form in which it broadcasts against an activation, in every scope.

    ``x * align(self.scale, x)`` and ``x + align(self.positions, x)[..., :n, :]`` are right for one architecture and
    for one per sample; a class token is ``align(self.token, x).expand(len(x), -1, -1)``. A bare ``x * self.scale`` is
    refused where samples have architectures of their own: a per-sample parameter has the batch in front, and torch
    would line that up with whatever dimension of ``x`` stands there.

    The batch is dimension 0 of ``x``. Where the sequence stands in front and is as long as the batch is large, nothing
    tells them apart.

    Args:
        parameter: Of :func:`Parameter`, with sizes ``(..., c)`` that belong to the last dimensions of ``x``, or to all
            of them where the first is 1.
        x: ``(B, ..., c)``.

    Returns:
        ``(..., c)``, the active part; with an architecture per sample ``(B, 1, ..., 1, ..., c)``, with as many
        dimensions as ``x``.

    Raises:
        AxisError: ``x`` has no batch dimension beside those of the parameter, or another batch size.
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
    if own == x.ndim and parameter.sizes[0] == 1:  # the batch has a place already
        return active.squeeze(1)
    if x.ndim <= own:
        raise AxisError(
            f"align: x has the shape {tuple(x.shape)}, and the parameter {own} dimensions of its own: x has the batch "
            "and these"
        )
    return active.reshape(active.shape[0], *(1,) * (x.ndim - own - 1), *active.shape[1:])


def _as_tensor(value: Any) -> Any:
    return value() if isinstance(value, ElasticParameter) else value


def _like_a_tensor(name: str) -> Callable[..., Any]:
    """A method that does what the tensor's own does, on what is active."""

    def method(self: Any, *args: object, **kwargs: object) -> Any:
        return getattr(self(), name)(*map(_as_tensor, args), **kwargs)

    method.__name__ = name
    method.__doc__ = f"As ``Tensor.{name}``, of what is active."
    return method


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
        """What is active: sliced, or full and masked.

        Raises:
            AxisError: Samples have architectures of their own: use :func:`align`.
        """
        if any(is_per_sample(size) for size in self.sizes):
            raise AxisError(
                f"a parameter {self!r} is used in a scope with an architecture per sample, where torch would line its "
                "batch up with another dimension: write x * enn.align(parameter, x), and likewise for other "
                "elementwise operations; one that sums, such as F.conv1d, needs a module of its own "
                "(docs/own-primitive.md)"
            )
        return self._masked()

    def _masked(self) -> Tensor:
        """As :meth:`forward`, with the batch in front for per-sample masks."""
        # a dimension more in front, where a per-sample mask has the batch
        out = select(self.weight, self.sizes).unsqueeze(0)
        for dim, size in enumerate(self.sizes):
            out = apply_mask(out, size, dim - len(self.sizes))
        return out if any(is_per_sample(size) for size in self.sizes) else out.squeeze(0)

    def tensor_sizes(self) -> dict[str, tuple[SizeLike, ...]]:
        """Of the parameter."""
        return {"weight": self.sizes}

    def example(self, generator: torch.Generator) -> tuple[()]:
        """No arguments."""
        return ()

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        if EXTRACTING not in memo:
            return super().__deepcopy__(memo)
        refuse_strangers(self)
        if has_hooks(self) or type(self).forward is not ElasticParameter.forward:
            raise ExtractionError(
                f"{type(self).__name__} has hooks or a forward of its own, and the torch.nn.Parameter that takes its "
                "place has neither: put them into the module that holds it"
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
                    f"{name} would change a copy of {self!r}, as masks and sizes of several factors make one: change "
                    "its weight"
                ) from None
            return getattr(active, name)

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

    # operators, and conversions that a module would make in place, of the weights themselves
    __add__ = _like_a_tensor("__add__")
    __radd__ = _like_a_tensor("__radd__")
    __sub__ = _like_a_tensor("__sub__")
    __rsub__ = _like_a_tensor("__rsub__")
    __mul__ = _like_a_tensor("__mul__")
    __rmul__ = _like_a_tensor("__rmul__")
    __truediv__ = _like_a_tensor("__truediv__")
    __rtruediv__ = _like_a_tensor("__rtruediv__")
    __floordiv__ = _like_a_tensor("__floordiv__")
    __rfloordiv__ = _like_a_tensor("__rfloordiv__")
    __mod__ = _like_a_tensor("__mod__")
    __rmod__ = _like_a_tensor("__rmod__")
    __pow__ = _like_a_tensor("__pow__")
    __rpow__ = _like_a_tensor("__rpow__")
    __matmul__ = _like_a_tensor("__matmul__")
    __rmatmul__ = _like_a_tensor("__rmatmul__")
    __and__ = _like_a_tensor("__and__")
    __rand__ = _like_a_tensor("__rand__")
    __or__ = _like_a_tensor("__or__")
    __ror__ = _like_a_tensor("__ror__")
    __xor__ = _like_a_tensor("__xor__")
    __rxor__ = _like_a_tensor("__rxor__")
    __lt__ = _like_a_tensor("__lt__")
    __le__ = _like_a_tensor("__le__")
    __gt__ = _like_a_tensor("__gt__")
    __ge__ = _like_a_tensor("__ge__")
    __neg__ = _like_a_tensor("__neg__")
    __pos__ = _like_a_tensor("__pos__")
    __abs__ = _like_a_tensor("__abs__")
    __invert__ = _like_a_tensor("__invert__")
    __getitem__ = _like_a_tensor("__getitem__")
    __len__ = _like_a_tensor("__len__")
    __iter__ = _like_a_tensor("__iter__")
    __contains__ = _like_a_tensor("__contains__")
    __bool__ = _like_a_tensor("__bool__")
    __float__ = _like_a_tensor("__float__")
    __int__ = _like_a_tensor("__int__")
    to = _like_a_tensor("to")
    type = _like_a_tensor("type")
    half = _like_a_tensor("half")
    float = _like_a_tensor("float")
    double = _like_a_tensor("double")
    bfloat16 = _like_a_tensor("bfloat16")
    cpu = _like_a_tensor("cpu")
    cuda = _like_a_tensor("cuda")
    xpu = _like_a_tensor("xpu")

    def __eq__(self, other: object) -> Any:
        # by identity beside modules: dictionaries and weak references ask it of their keys
        return self() == _as_tensor(other) if isinstance(other, (Tensor, int, float, complex)) else self is other

    def __ne__(self, other: object) -> Any:
        return self() != _as_tensor(other) if isinstance(other, (Tensor, int, float, complex)) else self is not other

    __hash__ = ElasticModule.__hash__
