"""Validators of a space class, by whether they can be run on watched instances."""

import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, PlainValidator, TypeAdapter, WrapValidator
from pydantic.fields import FieldInfo

from elasticnas.space.fields import PerLayer, Range
from elasticnas.space.schema import nested_space, per_layer

__all__ = ["FieldValidators", "after_model_validators", "is_opaque", "takes_info"]

_OWN = "_lengths_follow_their_fields"
_FUNCTIONAL: dict[str, Any] = {
    "after": AfterValidator,
    "before": BeforeValidator,
    "plain": PlainValidator,
    "wrap": WrapValidator,
}


class FieldValidators:
    """The validators of one field beyond its type.

    Attributes:
        after: Functions that get the parsed value, in order; empty if ``hidden``.
        hidden: Whether some validators get the value before it is parsed and so cannot be watched.
        is_single: Whether the field is one choice, neither per layer nor a nested space.
    """

    def __init__(self, cls: Any, name: str, info: FieldInfo) -> None:
        attached = [item for item in info.metadata if not isinstance(item, (PerLayer, Range))]
        decorated = [_FUNCTIONAL[item.info.mode](item.func) for item in _decorators(cls, name)]
        self._all = [*attached, *decorated]
        self._type = (info.annotation, *info.metadata, *decorated)
        self._element = get_args(info.annotation)[0] if per_layer(info) is not None else None
        element = get_args(self._element)[1:] if get_origin(self._element) is Annotated else ()
        self._of_elements = [item for item in element if not isinstance(item, Range)]
        self.hidden = not all(isinstance(item, AfterValidator) for item in self._all)
        self.after: list[Callable[..., Any]] = [] if self.hidden else [item.func for item in self._all]
        self.is_single = self._element is None and nested_space(info) is None

    @property
    def is_opaque(self) -> bool:
        """Whether a validator that cannot be watched can read other fields."""
        unwatched = self._of_elements + (self._all if self.hidden else [])
        return any(takes_info(item) for item in unwatched)

    def whole(self) -> Callable[[Any], Any]:
        """Return a function that validates a value of the field."""
        adapter: TypeAdapter[Any] = TypeAdapter(Annotated[self._type])  # type: ignore[arg-type]
        return adapter.validate_python

    def alone(self) -> Callable[[Any], Any] | None:
        """Return a function that validates one option without reading other choices; None if there is no validator."""
        if self.is_single and self._all and not any(takes_info(item) for item in self._all):
            return self.whole()
        if self._of_elements and not any(takes_info(item) for item in self._of_elements):
            adapter: TypeAdapter[Any] = TypeAdapter(self._element)  # type: ignore[arg-type]
            return adapter.validate_python
        return None


def after_model_validators(cls: Any) -> list[tuple[str, Callable[..., Any]]]:
    """Return names and functions of the validators that get a parsed architecture."""
    decorators = cls.__pydantic_decorators__.model_validators
    return [(name, item.func) for name, item in decorators.items() if name != _OWN and item.info.mode == "after"]


def is_opaque(cls: Any) -> bool:
    """Return whether the validation of a class cannot be watched, so that all its choices count as read."""
    decorators = cls.__pydantic_decorators__
    modes = {item.info.mode for name, item in decorators.model_validators.items() if name != _OWN}
    own = ("__new__", "__getattribute__", "__get_pydantic_core_schema__")
    return bool(
        modes - {"after"}
        or decorators.root_validators
        or decorators.validators
        or cls.__pydantic_custom_init__
        or any(inspect.getattr_static(cls, name) is not inspect.getattr_static(BaseModel, name) for name in own)
        or any(FieldValidators(cls, name, info).is_opaque for name, info in cls.model_fields.items())
    )


def takes_info(validator: Any) -> bool:
    """Return whether pydantic passes a ValidationInfo to a validator; the same rule as pydantic's."""
    function = getattr(validator, "func", validator)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(position == 0 or p.default is p.empty for position, p in enumerate(positional))
    return required > (2 if isinstance(validator, WrapValidator) else 1)


def _decorators(cls: Any, name: str) -> Iterator[Any]:
    for item in cls.__pydantic_decorators__.field_validators.values():
        if name in item.info.fields or "*" in item.info.fields:
            yield item
