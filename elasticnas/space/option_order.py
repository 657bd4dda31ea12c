"""The order of options. Typing does not always keep it: to it, ``Literal[2, 1]`` equals ``Literal[1, 2]``."""

import inspect
from types import GenericAlias
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from elasticnas.errors import SpaceError

__all__ = ["require_written_order"]


def require_written_order(space: type[BaseModel], name: str, info: FieldInfo) -> None:
    """Require an annotation whose options certainly have the order in which they are written.

    ``Annotated[...]``, ``Tuple[...]`` and generic models are made once for equal arguments, so that the second of two
    that differ only in the order of their options is the first. ``Literal[...]`` and ``tuple[...]`` are made every
    time, and so is ``Annotated`` if its first annotation is new each time (pydantic's Field()) or cannot be hashed
    (PerLayer).

    Raises:
        SpaceError: The options may have the order of another annotation.
    """
    where = f"{space.__name__}.{name}"
    why = "Python may have taken another order of its options, since Literal[1, 2] == Literal[2, 1]"
    if any(map(_has_order, _arguments(space))):
        raise SpaceError(f"{where}: of a generic space {why}; declare the field in a subclass without type arguments")
    written = _written(space, name)
    annotation, metadata = (info.annotation, info.metadata) if written is None else (written, [])
    if _is_shared_tuple(annotation):
        raise SpaceError(f"{where}: of typing.Tuple {why}; write tuple[Literal[...], ...]")
    if _is_shared(annotation, metadata):
        raise SpaceError(
            f"{where}: of this Annotated {why}; write Annotated[..., Field(), ...] with pydantic's Field() first, or "
            f"@field_validator({name!r}) below a plain Literal"
        )


def _arguments(space: type[BaseModel]) -> list[Any]:
    """Return the type arguments of a generic model and of those it is derived from."""
    generic = [vars(base).get("__pydantic_generic_metadata__") for base in space.__mro__]
    return [argument for given in generic if given for argument in given["args"]]


def _written(space: type[BaseModel], name: str) -> Any:
    """Return the annotation of a field with everything in it; None if it was written as text with local names."""
    found = ((base, inspect.get_annotations(base)) for base in space.__mro__)
    base, annotation = next(((base, each[name]) for base, each in found if name in each), (space, None))
    return _evaluated(annotation, base) if isinstance(annotation, str) else annotation


def _evaluated(text: str, base: type) -> Any:
    """Return an annotation written as text; None if it has names that the module of its class lacks."""
    holder = type(base.__name__, (), {"__annotations__": {"field": text}, "__module__": base.__module__})
    try:
        return get_type_hints(holder, include_extras=True)["field"]
    except Exception:  # whatever the evaluation of a text raises
        return None


def _is_shared(annotation: Any, metadata: list[Any]) -> bool:
    if get_origin(annotation) is Annotated:
        annotation, *inner = get_args(annotation)
        metadata = [*inner, *metadata]
    if metadata and _may_be_shared(metadata[0]) and _has_order(annotation):
        return True
    return get_origin(annotation) is tuple and any(_is_shared(part, []) for part in get_args(annotation))


def _is_shared_tuple(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_origin(annotation) is tuple and not isinstance(annotation, GenericAlias) and _has_order(annotation)


def _has_order(annotation: Any) -> bool:
    """Return whether options occur in an annotation, two or more."""
    if get_origin(annotation) is Literal:
        return len(get_args(annotation)) > 1
    return any(map(_has_order, get_args(annotation)))


def _may_be_shared(annotation: object) -> bool:
    if isinstance(annotation, FieldInfo):
        return False
    try:
        hash(annotation)
    except TypeError:
        return False
    return True
