"""The quantities of a space: its choices, and the sizes that its properties derive from them."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from elasticnas.axes import Quantity
from elasticnas.axes.quantity import Projection
from elasticnas.errors import SpaceError
from elasticnas.space.rules import choices_read
from elasticnas.space.schema import Declared, read

__all__ = ["quantities"]


def quantities(space: type[BaseModel], items: tuple[Declared, ...], projection: Projection) -> dict[str, Quantity]:
    """A quantity for every choice, and for every property that is an int (or a tuple of them).

    Raises:
        SpaceError: A property fails on every architecture.
    """
    found = {item.choice.name: _of_choice(item, projection) for item in items}
    for prefix, cls in _classes(space, ()):
        for name in _properties(cls):
            path = (*prefix, name)
            for label, element in _elements(cls, path):
                depends, _ = choices_read(cls, cls._declared(), name)  # type: ignore[attr-defined]
                names = {".".join((*prefix, item)) for item in depends}
                choices = tuple(item.choice for item in items if item.choice.name in names)
                if choices:
                    found[label] = Quantity(label, choices, _reader(element), projection)
    return found


def _of_choice(item: Declared, projection: Projection) -> Quantity:
    # a layer that an architecture does not have is dead: any option serves, the smallest costs least
    numbers = [o for o in item.choice.options if isinstance(o, int)]
    absent = min(numbers) if len(numbers) == len(item.choice.options) else item.choice.options[0]
    return Quantity(item.choice.name, (item.choice,), lambda arch: read(arch, item.path, absent), projection)


def _reader(path: tuple[str | int, ...]) -> Any:
    return lambda arch: read(arch, path)


def _classes(space: Any, prefix: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    yield prefix, space
    for name, info in space.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _classes(info.annotation, (*prefix, name))


def _properties(cls: type) -> list[str]:
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("pydantic") or base is object:
            continue
        names |= {name: None for name, value in vars(base).items() if isinstance(value, property) and name[0] != "_"}
    return [name for name in names if name not in dir(BaseModel)]


def _elements(cls: Any, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """The integers of a property: itself, or the entries of a tuple."""
    _, values = choices_read(cls, cls._declared(), path[-1])
    if not values:
        raise SpaceError(f"{cls.__name__}.{path[-1]}: the property fails on every architecture")
    if all(_is_int(value) for value in values):
        yield ".".join(path), path
    elif all(isinstance(value, tuple) and all(map(_is_int, value)) for value in values):
        for position in range(max(map(len, values))):
            yield ".".join((*path, str(position))), (*path, position)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
