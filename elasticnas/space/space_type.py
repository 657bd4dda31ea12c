"""SpaceType: the metaclass of spaces, with one-line errors for wrong declarations and wrong use of the class."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_origin

from pydantic import Field, PrivateAttr
from typing_extensions import dataclass_transform

from elasticnas.calls import NamedFields
from elasticnas.errors import (
    ArchitectureError,
    ElasticNASError,
    SpaceError,
    UnknownNameError,
    describe_error,
    short_repr,
)
from elasticnas.space.fields import PerLayer, Range

__all__ = ["SpaceType"]


# repeated: pyright does not look at the base classes of a metaclass
@dataclass_transform(kw_only_default=True, field_specifiers=(Field, PrivateAttr))
class SpaceType(NamedFields):
    """Metaclass of :class:`~elasticnas.space.Space`.

    Raises:
        SpaceError: The annotation of a field is a value, not a type, or pydantic cannot make the class.
    """

    raised: ClassVar[type[ElasticNASError]] = ArchitectureError

    if not TYPE_CHECKING:  # for type checkers, a space is a pydantic model

        def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
            """Make the class."""
            annotations = namespace.get("__annotations__", {})
            for field, given in annotations.items():
                if (meant := _meant(field, given)) is not None:
                    raise SpaceError(f"{name}.{field}: {short_repr(given)} is no type; write {meant}")
            for field, given in namespace.items():
                if field not in annotations and field[0] != "_" and not any(hasattr(base, field) for base in bases):
                    _require_annotated(name, field, given)
            try:
                return super().__new__(mcs, name, bases, namespace, **kwargs)
            except ElasticNASError:
                raise
            except Exception as error:  # pydantic raises various errors for annotations
                raise SpaceError(f"{name} cannot be declared like this ({describe_error(error)})") from error

        def __getattr__(cls, name: str) -> Any:
            """Look an attribute up in pydantic; raise a one-line error for a field, which only instances have."""
            try:
                return super().__getattr__(name)
            except AttributeError:
                if name not in vars(cls).get("__pydantic_fields__", {}):
                    raise
                own = cls.__name__
                raise UnknownNameError(
                    f"{own}.{name}: the class has no value of {name}; {own}.axes().{name} is its axis, and an "
                    f"architecture such as {own}.largest() has a value"
                ) from None


def _meant(field: str, given: Any) -> "str | None":
    """Return the declaration that was probably meant by a value in place of a type; None for a type."""
    if isinstance(given, Range):
        return f"{field}: Annotated[int, {_call(given, given.low, given.high, given.step)}]"
    if isinstance(given, PerLayer):
        return f"{field}: Annotated[tuple[Literal[64, 32], ...], PerLayer({given.count!r})]"
    if isinstance(given, (list, tuple, set, range)):
        return f"{field}: Literal[{', '.join(map(repr, given))}]"
    if isinstance(given, (bool, int, float)):
        return f"{field}: Literal[{given!r}]"
    return None


def _call(given: Range, low: int, high: int, step: int) -> str:
    return f"Range({low}, {high})" if step == 1 else f"Range({low}, {high}, step={step})"


def _require_annotated(name: str, field: str, given: Any) -> None:
    meant = f"{field}: {short_repr(given)}" if get_origin(given) is Literal else _meant(field, given)
    if isinstance(given, str):
        meant = f"{field}: Literal[{given!r}]"
    if meant is not None:
        raise SpaceError(
            f"{name}.{field} = {short_repr(given)} declares no choice: write {meant.replace('typing.', '')}, or "
            f"{field}: ClassVar[...] = ... for what is fixed"
        )
