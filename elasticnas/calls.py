"""Calls with wrong arguments, answered with the right call in one line."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from pydantic import BaseModel, Field, PrivateAttr, ValidationError
from typing_extensions import dataclass_transform

from elasticnas.errors import ConfigError, ElasticNASError, one_line, shown

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

__all__ = ["NamedFields", "usage"]

P = ParamSpec("P")
R = TypeVar("R")


def usage(example: str, error: type[ElasticNASError] = ConfigError) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: a call that lacks an argument, or has one too many, raises an error that shows the right call.

    A TypeError that arises within the function stays as it is.

    Args:
        example: The right call.
        error: What is raised.
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
    """The metaclass of pydantic models whose constructor answers in one line.

    Attributes:
        raised: The error of a subclass's models.
    """

    raised: ClassVar[type[ElasticNASError]] = ConfigError

    if not TYPE_CHECKING:  # checkers know the constructor by its fields

        def __call__(cls, *args: Any, **values: Any) -> Any:
            """An instance."""
            if args:
                raise type(cls).raised(f"{_called(cls, args)}: fields are given by name, {_named(cls, args)}")
            try:
                return super().__call__(**values)
            except ValidationError as error:
                if error.title != cls.__name__:
                    raise  # of another model, which a validator makes
                raise type(cls).raised(one_line(cls, error)) from None


def _called(cls: Any, args: tuple[Any, ...]) -> str:
    return f"{cls.__name__}({', '.join(shown(arg, 60) for arg in args)})"


def _named(cls: Any, args: tuple[Any, ...]) -> str:
    """The call with names: with the values where there is one for each field."""
    fields = list(cls.model_fields)
    if len(args) == 1 and isinstance(args[0], dict):
        return f"{cls.__name__}(**{shown(args[0], 60)})"
    values = [shown(arg, 60) for arg in args] if len(args) == len(fields) else ["..."] * min(len(fields), 3)
    more = ", ..." if len(fields) > len(values) else ""
    return f"{cls.__name__}({', '.join(f'{n}={v}' for n, v in zip(fields, values, strict=False))}{more})"
