"""The validators of a space class, told apart by how they can be watched."""

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
        after: Functions that see the finished value, in order.
        hidden: Whether there are others, which see it before it is parsed and cannot be watched.
        elements: Checks on the value of each layer alone; the identity for a field without layers.
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
        # a single value is read as a whole or not at all, so that nothing has to be watched
        self.is_single = self._element is None and nested_space(info) is None

    @property
    def is_opaque(self) -> bool:
        """Whether a validator that cannot be watched looks at other fields as well."""
        beside = self._of_elements + (self._all if self.hidden else [])
        return any(takes_info(item) for item in beside)

    def whole(self) -> Callable[[Any], Any]:
        """Validates a value of the field."""
        adapter: TypeAdapter[Any] = TypeAdapter(Annotated[self._type])  # type: ignore[arg-type]
        return adapter.validate_python

    def alone(self) -> Callable[[Any], Any] | None:
        """Validates one option without regard to other choices; None where there is nothing to validate."""
        if self.is_single and self._all and not any(takes_info(item) for item in self._all):
            return self.whole()
        if self._of_elements and not any(takes_info(item) for item in self._of_elements):
            adapter: TypeAdapter[Any] = TypeAdapter(self._element)  # type: ignore[arg-type]
            return adapter.validate_python
        return None


def after_model_validators(cls: Any) -> list[tuple[str, Callable[..., Any]]]:
    """Names and functions of the rules that see a finished architecture."""
    decorators = cls.__pydantic_decorators__.model_validators
    return [(name, item.func) for name, item in decorators.items() if name != _OWN and item.info.mode == "after"]


def is_opaque(cls: Any) -> bool:
    """Whether something validates a class that cannot be watched, so that all of its choices count as read."""
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
    """Whether a validator is given what was validated before, by pydantic's own rule."""
    function = getattr(validator, "func", validator)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins have none
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(position == 0 or p.default is p.empty for position, p in enumerate(positional))
    return required > (2 if isinstance(validator, WrapValidator) else 1)


def _decorators(cls: Any, name: str) -> Iterator[Any]:
    for item in cls.__pydantic_decorators__.field_validators.values():
        if name in item.info.fields or "*" in item.info.fields:
            yield item
