"""Errors for calls with wrong arguments that show the correct call in one line."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from pydantic import BaseModel, Field, PrivateAttr, ValidationError
from typing_extensions import dataclass_transform

from elasticnas.errors import ConfigError, ElasticNASError, one_line, short_repr

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

__all__ = ["NamedFields", "usage"]

P = ParamSpec("P")
R = TypeVar("R")


def usage(example: str, error: type[ElasticNASError] = ConfigError) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator: a call with missing or unexpected arguments raises an error that shows the correct call.

    A TypeError raised inside the function is not changed.

    Args:
        example: The correct call.
        error: The class of the error.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError as raised:
                if raised.__traceback__ is None or raised.__traceback__.tb_next is not None:
                    raise
                raise error(f"{raised}: write {example}") from None

        return called

    return decorate


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, PrivateAttr))
class NamedFields(ModelMetaclass):
    """Metaclass of pydantic models with keyword arguments only, whose constructor raises one-line errors.

    Attributes:
        raised: The class of the errors.
    """

    raised: ClassVar[type[ElasticNASError]] = ConfigError

    if not TYPE_CHECKING:  # type checkers derive the constructor from the fields

        def __call__(cls, *args: Any, **values: Any) -> Any:
            """Make an instance."""
            if args:
                raise type(cls).raised(f"{_called(cls, args)}: fields are given by name, {_named(cls, args)}")
            try:
                return super().__call__(**values)
            except ValidationError as error:
                if error.title != cls.__name__:
                    raise  # an error of another model that a validator makes
                raise type(cls).raised(one_line(cls, error)) from None


def _called(cls: Any, args: tuple[Any, ...]) -> str:
    return f"{cls.__name__}({', '.join(short_repr(arg, 60) for arg in args)})"


def _named(cls: Any, args: tuple[Any, ...]) -> str:
    """Return the call with keyword arguments, with the given values if there is one for each field."""
    fields = list(cls.model_fields)
    if len(args) == 1 and isinstance(args[0], dict):
        return f"{cls.__name__}(**{short_repr(args[0], 60)})"
    values = [short_repr(arg, 60) for arg in args] if len(args) == len(fields) else ["..."] * min(len(fields), 3)
    more = ", ..." if len(fields) > len(values) else ""
    return f"{cls.__name__}({', '.join(f'{n}={v}' for n, v in zip(fields, values, strict=False))}{more})"
