"""Sizes: ints are fixed, axes are elastic; they can be multiplied, added and divided."""

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

from elasticnas.axes.no_value import NoValue
from elasticnas.axes.quantity import Quantity
from elasticnas.errors import AxisError, short_repr

if TYPE_CHECKING:
    from elasticnas.axes.scope import Axes
    from elasticnas.axes.stack import ScopeStack

__all__ = [
    "BORROWED",
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

BORROWED = "elasticnas.borrowed"  # key in deepcopy's memo while it binds: what the plain modules take, uncopied
EXTRACTING = "elasticnas.extracting"  # key in deepcopy's memo: sizes become ints, elastic modules plain ones


class Size(NoValue):
    """An elastic size.

    Sizes can be multiplied (``3 * heads * head_dim`` has the layout ``(3 heads head_dim)`` of einops), added
    (concatenation) and divided (``heads // kv_heads``).
    """

    axes: "Axes"
    scopes: "ScopeStack"
    leaves: "tuple[Axis, ...]"
    """The axes that it is composed of."""

    @property
    def size(self) -> int:
        """Full size: number of units in the supernet."""
        raise NotImplementedError

    @property
    def least(self) -> int:
        """Lower bound on the active size over all valid architectures."""
        raise NotImplementedError

    def active(self) -> Any:
        """Return the units active in the current scope; see :func:`active_size`."""
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
        # a copied model follows the same scopes; an extracted one has ints
        return active_size(self) if EXTRACTING in memo else self


SizeLike = int | Size


class Axis(Size):
    """A named elastic size: a field or an integer property of a space.

    Attributes:
        name: Dotted name in the space, such as ``hidden`` or ``inner.0``.
        size: Full size, the largest over all valid architectures.
        options: The values it can take. A choice that is not an integer (a branch) is also an axis, but has no size.
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
        """Values it takes over the valid architectures."""
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
        """Whether its options are integers (bool does not count)."""
        return self.quantity.is_number

    def at(self) -> Any:
        """Return what is active in the current scope: a value if sliced, OptionWeights if masked."""
        return self.scopes.frame().value(self.quantity)

    def active(self) -> Any:
        """Return the active value, or the full size if masked."""
        frame = self.scopes.frame()
        return self.size if frame.masks(self.quantity) else frame.value(self.quantity)

    def __floordiv__(self, other: "int | Axis") -> "Axis":
        return _quotient(self, other)

    def __rfloordiv__(self, other: int) -> "Axis":
        return _quotient(other, self)

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


def _quotient(above: "int | Axis", below: "int | Axis") -> Axis:
    """Return the axis ``above // below``, which must have no remainder in any valid architecture."""
    axis = above if isinstance(above, Axis) else below
    assert isinstance(axis, Axis)
    if not all(isinstance(part, Axis) or _is_count(part) for part in (above, below)):
        raise AxisError(
            f"{_label(above)} // {_label(below)}: an axis divides by an axis or an int, and is divided by one; make "
            "anything else an integer property of the space"
        )

    def divide(arch: Any) -> int:
        dividend, divisor = _value_for(above, arch), _value_for(below, arch)
        if divisor == 0 or dividend % divisor:
            raise AxisError(
                f"{_label(above)} // {_label(below)} leaves a remainder for {dividend} // {divisor} ({arch!r}): "
                "add a rule to the space that excludes it"
            )
        return dividend // divisor

    return axis.axes.derive(f"{_label(above)}//{_label(below)}", (above, below), divide)


def _restore_axis(axes: "Axes", how: Any, *parts: Any) -> Any:
    return parts[0] // parts[1] if how == "divide" else axes.named(how)


def _value_for(size: SizeLike, arch: Any) -> int:
    """Return the value of a size for an architecture."""
    if isinstance(size, int):
        return size
    if isinstance(size, Axis):
        return int(size.quantity.getter(arch))
    parts = [_value_for(part, arch) for part in (size.factors if isinstance(size, Product) else terms_of(size))]
    return prod(parts) if isinstance(size, Product) else sum(parts)


def quantity_of(size: Size) -> Quantity:
    """Return the number of units of an axis, or of a product or sum of axes, as one quantity.

    Raises:
        SpaceError: It depends on too many choices.
    """
    if isinstance(size, Axis):
        return size.quantity
    return size.axes.derive(f"{size!r}", (size,), lambda arch: _value_for(size, arch)).quantity


class Product(Size):
    """A composite size, outermost factor first: ``Product(heads, head_dim)`` has the layout ``(heads head_dim)``."""

    def __init__(self, *factors: SizeLike) -> None:
        self.factors = factors
        self.axes = _common_axes(factors)
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
        """The product of the factors' lower bounds."""
        return prod([least_size(factor) for factor in self.factors])

    def active(self) -> int:
        """Return the product of the factors' active sizes."""
        return prod([active_size(factor) for factor in self.factors])

    def __repr__(self) -> str:
        return f"({' '.join(_label(factor) for factor in self.factors)})"

    def __reduce__(self) -> Any:
        return Product, self.factors


class Sum(Size):
    """The size of a concatenation: terms one after the other."""

    def __init__(self, *terms: SizeLike) -> None:
        self.terms = terms
        self.axes = _common_axes(terms)
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
        """The sum of the terms' lower bounds."""
        return sum([least_size(term) for term in self.terms])

    def active(self) -> int:
        """Return the sum of the terms' active sizes."""
        return sum([active_size(term) for term in self.terms])

    def __mul__(self, other: SizeLike) -> Product:
        raise AxisError(f"({self!r}) * {_label(other)}: a sum of sizes cannot be a factor; multiply its terms instead")

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return " + ".join(_label(term) for term in self.terms)

    def __reduce__(self) -> Any:
        return Sum, self.terms


def full_size(size: SizeLike) -> int:
    """Return the number of units in the supernet."""
    return size if isinstance(size, int) else size.size


def least_size(size: SizeLike) -> int:
    """Return a lower bound on the active units over all valid architectures."""
    return size if isinstance(size, int) else size.least


def active_size(size: SizeLike) -> Any:
    """Return the active units of a size: masked axes count with their full size, a branch returns its option.

    Raises:
        AxisError: It is not a size.
    """
    if isinstance(size, int):
        return size
    if isinstance(size, Size):
        return size.scopes.frame().caches.sizes.get(size, size.active)
    raise AxisError(f"{size!r} is not a size: give an int, an Axis, or a product or sum of them")


def require_sizes(what: str, least: int = 0, **sizes: SizeLike) -> None:
    """Check the sizes given to a module.

    Args:
        what: Name of the module, for the error.
        least: Minimum number of units in every architecture.
        **sizes: The sizes by argument name.

    Raises:
        AxisError: A full size is below 1, an option is below ``least``, or an argument is not a size.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, (int, Size)):
            raise AxisError(f"{what}: {name}={size!r} is not a size: give an int, an Axis, or a product or sum of them")
        if full_size(size) < 1:
            raise AxisError(f"{what}: {name}={size!r}: a size must be at least 1")
        if least_size(size) < least:
            raise AxisError(
                f"{what}: {name}={size!r} has the option {least_size(size)}, but at least {least} is needed: remove "
                "the option, or skip the module with elasticnas.nn.DepthSkip"
            )


def is_elastic(*sizes: object) -> bool:
    """Return whether any of the sizes is an Axis or composed of axes."""
    return any(isinstance(size, Size) for size in sizes)


def factors_of(size: SizeLike) -> Sequence[SizeLike]:
    """Return the factors of a product; any other size is its own only factor."""
    return size.factors if isinstance(size, Product) else (size,)


def terms_of(size: SizeLike) -> Sequence[SizeLike]:
    """Return the terms of a sum; any other size is its own only term."""
    return size.terms if isinstance(size, Sum) else (size,)


def _factors(size: SizeLike) -> Sequence[SizeLike]:
    if isinstance(size, (Product, Axis)) or _is_count(size):
        return factors_of(size)
    raise AxisError(f"cannot multiply an axis by {short_repr(size)}: give an int from 0 or an Axis")


def _is_count(size: object) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and size >= 0


def _terms(size: SizeLike) -> Sequence[SizeLike]:
    if isinstance(size, Size) or _is_count(size):
        return terms_of(size)
    raise AxisError(f"cannot add {short_repr(size)} to an axis: give an int from 0 or an Axis")


def _common_axes(sizes: Sequence[SizeLike]) -> "Axes":
    owners = {id(size.axes): size.axes for size in sizes if isinstance(size, Size)}
    if len(owners) != 1:
        raise AxisError(f"{list(sizes)} mix axes of {len(owners)} Axes objects; call Space.axes() once per model")
    return next(iter(owners.values()))


def _leaves(parts: Sequence[SizeLike]) -> "tuple[Axis, ...]":
    return tuple(dict.fromkeys(axis for part in parts if isinstance(part, Size) for axis in part.leaves))


def _label(size: SizeLike) -> str:
    return size.name if isinstance(size, Axis) else str(size)
