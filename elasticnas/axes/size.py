"""Sizes: an int is fixed, an Axis is elastic, and they multiply, add and divide."""

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

from elasticnas.axes.no_value import NoValue
from elasticnas.axes.quantity import Quantity
from elasticnas.errors import AxisError, shown

if TYPE_CHECKING:
    from elasticnas.axes.scope import Axes
    from elasticnas.axes.stack import ScopeStack

__all__ = [
    "EXTRACTING",
    "Axis",
    "Product",
    "Size",
    "SizeLike",
    "Sum",
    "active_size",
    "factors_of",
    "full_size",
    "is_elastic",
    "least_size",
    "quantity_of",
    "require_sizes",
    "terms_of",
]

EXTRACTING = "elasticnas.extracting"  # a key in deepcopy's memo: sizes turn into ints, elastic parts into plain ones


class Size(NoValue):
    """An elastic size. Sizes multiply (``3 * heads * head_dim`` is laid out as einops' ``(3 heads head_dim)``),
    add (concatenation) and divide (``heads // kv_heads``)."""

    axes: "Axes"
    scopes: "ScopeStack"
    leaves: "tuple[Axis, ...]"
    """The axes that it is made of."""

    @property
    def size(self) -> int:
        """Full size: units held by the supernet."""
        raise NotImplementedError

    @property
    def least(self) -> int:
        """A lower bound on the active size, over all valid architectures."""
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
        self.axes, self.scopes, self.quantity = axes, axes.scopes, quantity
        self.leaves = (self,)

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
            raise AxisError(f"{self.name} is no size: its options are {list(self.options)}; {_branch(self.options)}")
        return int(largest)

    @property
    def least(self) -> int:
        """The smallest option."""
        return int(min(self.options))

    @property
    def is_number(self) -> bool:
        """Whether its options are integers (bool is none)."""
        return self.quantity.is_number

    def at(self) -> Any:
        """What is active in the current scope: a value (slice) or OptionWeights (mask, soft mask)."""
        return self.scopes.frame().value(self.quantity)

    def active(self) -> Any:
        """The value in scope; masked, the full size."""
        frame = self.scopes.frame()
        return self.size if frame.masks(self.quantity) else frame.value(self.quantity)

    def __floordiv__(self, other: "int | Axis") -> "Axis":
        return _divided(self, other)

    def __rfloordiv__(self, other: int) -> "Axis":
        return _divided(other, self)

    def __repr__(self) -> str:
        return f"Axis({self.name}: {', '.join(map(str, self.options))})"

    def __reduce__(self) -> Any:
        return _restore_axis, (self.axes, *self.axes.origin(self))


def _same(ours: Sequence[SizeLike], theirs: Sequence[SizeLike]) -> bool:
    """Whether two products or sums have equal parts; a size and a number are not to be compared."""
    return len(ours) == len(theirs) and all(
        isinstance(a, int) == isinstance(b, int) and a == b for a, b in zip(ours, theirs, strict=True)
    )


def _branch(options: Sequence[Any]) -> str:
    """What to do with options that are no sizes."""
    try:
        numbers = [float(option) for option in options if not isinstance(option, bool)]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) == len(options) and all(number.is_integer() for number in numbers):
        return f"a size is an integer, Literal{[int(number) for number in numbers]}"
    return "give it to a Mixture"


def _divided(above: "int | Axis", below: "int | Axis") -> Axis:
    """The axis ``above // below``; every valid architecture must divide without remainder."""
    axis = above if isinstance(above, Axis) else below
    assert isinstance(axis, Axis)
    if not all(isinstance(part, Axis) or _is_count(part) for part in (above, below)):
        raise AxisError(
            f"{_label(above)} // {_label(below)}: an axis divides by an axis or an int, and is divided by one; make "
            "anything else an integer property of the space"
        )

    def divide(arch: Any) -> int:
        dividend, divisor = _read(above, arch), _read(below, arch)
        if divisor == 0 or dividend % divisor:
            raise AxisError(
                f"{_label(above)} // {_label(below)} leaves a remainder for {dividend} // {divisor} ({arch!r}): "
                "add a rule to the space that excludes it"
            )
        return dividend // divisor

    return axis.axes.derive(f"{_label(above)}//{_label(below)}", (above, below), divide)


def _restore_axis(axes: "Axes", how: Any, *parts: Any) -> Any:
    return parts[0] // parts[1] if how == "divide" else axes.named(how)


def _read(size: SizeLike, arch: Any) -> int:
    """The size that an architecture has."""
    if isinstance(size, int):
        return size
    if isinstance(size, Axis):
        return int(size.quantity.getter(arch))
    parts = [_read(part, arch) for part in (size.factors if isinstance(size, Product) else terms_of(size))]
    return prod(parts) if isinstance(size, Product) else sum(parts)


def quantity_of(size: Size) -> Quantity:
    """The number of units as one quantity: an axis's own, or that of a product or sum of axes.

    Raises:
        SpaceError: It follows from too many choices.
    """
    if isinstance(size, Axis):
        return size.quantity
    return size.axes.derive(f"{size!r}", (size,), lambda arch: _read(size, arch)).quantity


class Product(Size):
    """A composite size, outermost factor first: ``Product(heads, head_dim)`` has the layout ``(heads head_dim)``."""

    def __init__(self, *factors: SizeLike) -> None:
        self.factors = factors
        self.axes = _owner(factors)
        self.scopes, self.leaves = self.axes.scopes, _leaves(factors)
        self._hash = hash(factors)

    def __eq__(self, other: object) -> bool:
        return _same(self.factors, other.factors) if isinstance(other, Product) else super().__eq__(other)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def size(self) -> int:
        """Full size: the product of the factors' full sizes."""
        return prod([full_size(factor) for factor in self.factors])

    @property
    def least(self) -> int:
        """The product of the factors' smallest options."""
        return prod([least_size(factor) for factor in self.factors])

    def active(self) -> int:
        """The product of the factors' active sizes."""
        return prod([active_size(factor) for factor in self.factors])

    def __repr__(self) -> str:
        return f"({' '.join(_label(factor) for factor in self.factors)})"

    def __reduce__(self) -> Any:
        return Product, self.factors


class Sum(Size):
    """Sizes one after the other, as in a concatenation."""

    def __init__(self, *terms: SizeLike) -> None:
        self.terms = terms
        self.axes = _owner(terms)
        self.scopes, self.leaves = self.axes.scopes, _leaves(terms)
        self._hash = hash(terms)

    def __eq__(self, other: object) -> bool:
        return _same(self.terms, other.terms) if isinstance(other, Sum) else super().__eq__(other)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def size(self) -> int:
        """Full size: the sum of the terms' full sizes."""
        return sum([full_size(term) for term in self.terms])

    @property
    def least(self) -> int:
        """The sum of the terms' smallest options."""
        return sum([least_size(term) for term in self.terms])

    def active(self) -> int:
        """The sum of the terms' active sizes."""
        return sum([active_size(term) for term in self.terms])

    def __mul__(self, other: SizeLike) -> Product:
        raise AxisError(f"({self!r}) * {_label(other)}: a sum of sizes cannot be a factor; multiply its terms instead")

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return " + ".join(_label(term) for term in self.terms)

    def __reduce__(self) -> Any:
        return Sum, self.terms


def full_size(size: SizeLike) -> int:
    """Units held by the supernet."""
    return size if isinstance(size, int) else size.size


def least_size(size: SizeLike) -> int:
    """A lower bound on the active units, over all valid architectures."""
    return size if isinstance(size, int) else size.least


def active_size(size: SizeLike) -> Any:
    """Units active in a slice scope; a branch gives its option. Masked axes count with their full size."""
    if isinstance(size, int):
        return size
    if isinstance(size, Size):
        return size.scopes.frame().caches.sizes.get(size, size.active)
    raise AxisError(f"{size!r} is not a size: give an int, an Axis, or a product or sum of them")


def require_sizes(what: str, least: int = 0, **sizes: SizeLike) -> None:
    """Refuse sizes that hold no unit.

    Args:
        what: The part that is made of them, named in the error.
        least: Units that every architecture must have.
        **sizes: By the name of the argument.

    Raises:
        AxisError: A full size below 1, an option below ``least``, or what is no size.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, (int, Size)):
            raise AxisError(f"{what}: {name}={size!r} is not a size: give an int, an Axis, or a product or sum of them")
        if full_size(size) < 1:
            raise AxisError(f"{what}: {name}={size!r}: a size is at least 1")
        if least_size(size) < least:
            raise AxisError(
                f"{what}: {name}={size!r} has the option {least_size(size)}, and at least {least} is needed: take the "
                "option out, or skip the part by elasticnas.nn.DepthSkip"
            )


def is_elastic(*sizes: object) -> bool:
    """Whether any of the sizes is an Axis or made of axes."""
    return any(isinstance(size, Size) for size in sizes)


def factors_of(size: SizeLike) -> Sequence[SizeLike]:
    """The factors of a product; anything else is its own factor."""
    return size.factors if isinstance(size, Product) else (size,)


def terms_of(size: SizeLike) -> Sequence[SizeLike]:
    """The terms of a sum; anything else is its own term."""
    return size.terms if isinstance(size, Sum) else (size,)


def _factors(size: SizeLike) -> Sequence[SizeLike]:
    if isinstance(size, (Product, Axis)) or _is_count(size):
        return factors_of(size)
    raise AxisError(f"cannot multiply an axis by {shown(size)}: give an int from 0 or an Axis")


def _is_count(size: object) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and size >= 0


def _terms(size: SizeLike) -> Sequence[SizeLike]:
    if isinstance(size, Size) or _is_count(size):
        return terms_of(size)
    raise AxisError(f"cannot add {shown(size)} to an axis: give an int from 0 or an Axis")


def _owner(sizes: Sequence[SizeLike]) -> "Axes":
    owners = {id(size.axes): size.axes for size in sizes if isinstance(size, Size)}
    if len(owners) != 1:
        raise AxisError(f"{list(sizes)} mix axes of {len(owners)} Axes objects; call Space.axes() once per model")
    return next(iter(owners.values()))


def _leaves(parts: Sequence[SizeLike]) -> "tuple[Axis, ...]":
    return tuple(dict.fromkeys(axis for part in parts if isinstance(part, Size) for axis in part.leaves))


def _label(size: SizeLike) -> str:
    return size.name if isinstance(size, Axis) else str(size)
