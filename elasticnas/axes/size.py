"""Sizes: an int is fixed, an Axis is elastic, and they multiply, add and divide."""

from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from elasticnas.axes.known import is_traced
from elasticnas.axes.quantity import Quantity
from elasticnas.errors import AxisError

if TYPE_CHECKING:
    from elasticnas.axes.scope import Axes

__all__ = [
    "EXTRACTING",
    "Axis",
    "Product",
    "Size",
    "SizeLike",
    "Sum",
    "Weighted",
    "active_size",
    "full_size",
    "is_elastic",
    "known_positive",
    "require_sizes",
]

EXTRACTING = "elasticnas.extracting"  # a key in deepcopy's memo: sizes turn into ints, elastic parts into plain ones


def known_positive(weights: Tensor) -> bool:
    """Whether all are above 0; False too where to find out is to wait for a device, or to break a graph."""
    return not is_traced() and weights.device.type == "cpu" and bool((weights > 0).all())


class Weighted:
    """What an axis is at in a mask scope: weights ``(..., options)`` over the options of its quantity."""

    def __init__(self, quantity: Quantity, weights: Tensor) -> None:
        self.quantity, self.weights = quantity, weights
        self._alive: bool | None = None

    def mask(self, like: Tensor) -> Tensor:
        """Mask ``(..., largest)`` in the dtype and device of ``like``: the weighted sum of the prefix masks."""
        # a product and a sum, not a matmul, which autocast would run in half precision
        weights, prefixes = self.weights.to(like), self.quantity.prefixes.to(like)
        return (weights.unsqueeze(-1) * prefixes).sum(-2)

    @property
    def alive(self) -> bool:
        """Whether every unit is known to have a weight above 0."""
        if self._alive is None:
            self._alive = known_positive(self.weights[..., -1])  # options ascend: the last has all units
        return self._alive

    def expect(self, function: Callable[[int], float], like: Tensor) -> Tensor:
        """Expected value ``(...)`` of a function of the size."""
        values = torch.tensor([function(option) for option in self.quantity.options], dtype=torch.float64)
        return (self.weights.to(like) * values.to(like)).sum(-1)


class Size:
    """An elastic size. Sizes multiply (``3 * heads * head_dim`` is laid out as einops' ``(3 heads head_dim)``),
    add (concatenation) and divide (``heads // kv_heads``)."""

    axes: "Axes"

    @property
    def size(self) -> int:
        """Full size: units held by the supernet."""
        raise NotImplementedError

    def active(self) -> Any:
        """Units active in the current scope, as :func:`active_size` gives them."""
        raise NotImplementedError

    def __mul__(self, other: "SizeLike") -> "Product":
        return Product(*_factors(self), *_factors(other))

    def __rmul__(self, other: int) -> "Product":
        return Product(*_factors(other), *_factors(self))

    def __add__(self, other: "SizeLike") -> "Sum":
        return Sum(*_terms(self), *_terms(other))

    def __radd__(self, other: int) -> "Sum":
        return Sum(*_terms(other), *_terms(self))

    def __copy__(self) -> "Size":
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> "SizeLike":
        # a copied model follows the same scope; an extracted one gets ints
        return active_size(self) if EXTRACTING in memo else self


SizeLike = int | Size


class Axis(Size):
    """One named size that may vary: a field or an integer property of a space.

    Attributes:
        name: Dotted name in the space, such as ``hidden`` or ``inner.0``.
        size: Full size, the largest over all valid architectures.
        options: The values it can take. A choice that is not an integer (a branch) is an axis too, without a size.
    """

    def __init__(self, axes: "Axes", quantity: Quantity) -> None:
        self.axes, self.quantity = axes, quantity

    @property
    def name(self) -> str:
        """Dotted name in the space."""
        return self.quantity.name

    @property
    def options(self) -> tuple[Any, ...]:
        """Values it can take over the valid architectures."""
        return self.quantity.options

    @cached_property
    def size(self) -> int:
        """Full size: the largest value over all valid architectures."""
        largest = max(self.options) if self.is_number else None
        if largest is None:
            raise AxisError(f"{self.name} is no size: its options are {list(self.options)}; give it to a Mixture")
        return int(largest)

    @property
    def is_number(self) -> bool:
        """Whether its options are integers (bool is none)."""
        return self.quantity.is_number

    def at(self) -> Any:
        """What is active in the current scope: a value (slice) or Weighted (mask, soft mask)."""
        return self.axes.frame().value(self.quantity)

    def active(self) -> Any:
        """The value in scope; masked, the full size."""
        active = self.at()
        return self.size if isinstance(active, Weighted) else active

    def __floordiv__(self, other: "int | Axis") -> "Axis":
        return _divided(self, other)

    def __rfloordiv__(self, other: int) -> "Axis":
        return _divided(other, self)

    def __repr__(self) -> str:
        return f"Axis({self.name}: {', '.join(map(str, self.options))})"

    def __reduce__(self) -> Any:
        return _restore_axis, (self.axes, *self.axes.origin(self))


def _divided(above: "int | Axis", below: "int | Axis") -> Axis:
    """The axis ``above // below``; every valid architecture must divide without remainder."""
    axis = above if isinstance(above, Axis) else below
    assert isinstance(axis, Axis)
    parts = [part.quantity for part in (above, below) if isinstance(part, Axis)]

    def read(part: "int | Axis", arch: Any) -> int:
        return int(part.quantity.getter(arch)) if isinstance(part, Axis) else part

    def divide(arch: Any) -> int:
        dividend, divisor = read(above, arch), read(below, arch)
        if dividend % divisor:
            raise AxisError(
                f"{_label(above)} // {_label(below)} leaves a remainder for {dividend} // {divisor} ({arch!r}): "
                "add a rule to the space that forbids it"
            )
        return dividend // divisor

    choices = tuple(dict.fromkeys(choice for quantity in parts for choice in quantity.choices))
    name = f"{_label(above)}//{_label(below)}"
    derived = axis.axes.derive(name, choices, divide, axis.quantity.projection, above, below)
    _ = derived.options  # an impossible division is refused here, not in the middle of a run
    return derived


def _restore_axis(axes: "Axes", how: Any, *parts: Any) -> Any:
    return parts[0] // parts[1] if how == "divide" else axes.named(how)


class Product(Size):
    """A composite size, outermost factor first: ``Product(heads, head_dim)`` has the layout ``(heads head_dim)``."""

    def __init__(self, *factors: SizeLike) -> None:
        self.factors = factors
        self.axes = _owner(factors)
        self._hash = hash(factors)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Product) and self.factors == other.factors

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def size(self) -> int:
        """Full size: the product of the factors' full sizes."""
        return prod([full_size(factor) for factor in self.factors])

    def active(self) -> int:
        """The product of the factors' active sizes."""
        return prod([active_size(factor) for factor in self.factors])

    def __repr__(self) -> str:
        return f"({' '.join(_label(factor) for factor in self.factors)})"


class Sum(Size):
    """Sizes one after the other, as in a concatenation."""

    def __init__(self, *terms: SizeLike) -> None:
        self.terms = terms
        self.axes = _owner(terms)
        self._hash = hash(terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sum) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def size(self) -> int:
        """Full size: the sum of the terms' full sizes."""
        return sum([full_size(term) for term in self.terms])

    def active(self) -> int:
        """The sum of the terms' active sizes."""
        return sum([active_size(term) for term in self.terms])

    def __mul__(self, other: SizeLike) -> Product:
        raise AxisError(f"{self!r} * {_label(other)}: a sum of sizes cannot be a factor; multiply its terms instead")

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return " + ".join(_label(term) for term in self.terms)


def full_size(size: SizeLike) -> int:
    """Units held by the supernet."""
    return size if isinstance(size, int) else size.size


def active_size(size: SizeLike) -> Any:
    """Units active in a slice scope; a branch gives its option. Masked axes count with their full size."""
    if isinstance(size, int):
        return size
    if isinstance(size, Size):
        return size.axes.frame().known.plain(size, size.active)
    raise AxisError(f"{size!r} is not a size: give an int, an Axis, or a product or sum of them")


def require_sizes(what: str, **sizes: SizeLike) -> None:
    """Refuse sizes that hold no unit.

    Args:
        what: The part that is made of them, named in the error.
        **sizes: By the name of the argument.

    Raises:
        AxisError: A size below 1, or what is no size.
    """
    for name, size in sizes.items():
        if not isinstance(size, (int, Size)):
            raise AxisError(f"{what}: {name}={size!r} is not a size: give an int, an Axis, or a product or sum of them")
        if full_size(size) < 1:
            raise AxisError(f"{what}: {name}={size!r}: a size is at least 1")


def is_elastic(*sizes: object) -> bool:
    """Whether any of the sizes is an Axis or made of axes."""
    return any(isinstance(size, Size) for size in sizes)


def _factors(size: SizeLike) -> Sequence[SizeLike]:
    if isinstance(size, Product):
        return size.factors
    if isinstance(size, (Axis, int)) and not isinstance(size, bool):
        return (size,)
    raise AxisError(f"cannot multiply an axis by {size!r}: give an int or an Axis")


def _terms(size: SizeLike) -> Sequence[SizeLike]:
    return size.terms if isinstance(size, Sum) else (size,)


def _owner(sizes: Sequence[SizeLike]) -> "Axes":
    owners = {id(size.axes): size.axes for size in sizes if isinstance(size, Size)}
    if len(owners) != 1:
        raise AxisError(f"{list(sizes)} mix axes of {len(owners)} Axes objects; call Space.axes() once per model")
    return next(iter(owners.values()))


def _label(size: SizeLike) -> str:
    return size.name if isinstance(size, Axis) else str(size)
