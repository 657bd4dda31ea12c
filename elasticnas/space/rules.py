"""Which choices the rules of a space read: found by running the rules on watched architectures."""

import random
from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import product
from math import prod
from typing import Any

from pydantic import BaseModel

from elasticnas.space.schema import Declared

__all__ = ["choices_in_rules", "choices_read", "refuses"]

_DRAWS = 200
_COMBINATIONS = 20_000
_ALL_AT_ONCE = ("model_dump", "model_dump_json", "model_copy", "__dict__", "dict", "json")


def _watching(cls: type[BaseModel], prefix: tuple[str, ...], seen: set[str]) -> type[BaseModel]:
    """A subclass whose instances note the fields that are read."""
    fields = set(cls.model_fields)

    def watch(self: Any, name: str) -> Any:
        if name in fields:
            seen.add(".".join((*prefix, name)))
        elif name in _ALL_AT_ONCE:
            seen.update(".".join((*prefix, field)) for field in fields)
        return object.__getattribute__(self, name)

    return type(cls.__name__, (cls,), {"__getattribute__": watch, "__module__": cls.__module__, "__annotations__": {}})


def _named(seen: set[str], items: tuple[Declared, ...]) -> set[str]:
    """Choices at or below the fields that were read."""
    return {i.choice.name for i in items if any(f"{i.choice.name}.".startswith(f"{name}.") for name in seen)}


def choices_in_rules(space: Any, items: tuple[Declared, ...]) -> set[str]:
    """Names of the choices that any validator of the space, or of a nested space, reads.

    A validator that runs before the fields are parsed cannot be watched: it ties all choices together.
    """
    found: set[str] = set()
    for cls, prefix in _spaces(space, ()):
        decorators = cls.__pydantic_decorators__
        validators = {name: item for name, item in decorators.model_validators.items() if name != _OWN}
        ours = tuple(item for item in items if item.path[: len(prefix)] == prefix)
        if any(item.info.mode != "after" for item in validators.values()):
            found |= {item.choice.name for item in ours}
        for name in {field for item in decorators.field_validators.values() for field in item.info.fields}:
            found |= _named({".".join((*prefix, name))}, ours)
        if validators:
            found |= _read_by_rules(cls, prefix, ours)
    return found


_OWN = "_lengths_follow_their_fields"


def _spaces(space: Any, prefix: tuple[str, ...]) -> Any:
    yield space, prefix
    for name, info in space.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _spaces(info.annotation, (*prefix, name))


def _read_by_rules(cls: Any, prefix: tuple[str, ...], ours: tuple[Declared, ...]) -> set[str]:
    seen: set[str] = set()
    watched = _watching(cls, prefix, seen)
    items = cls._declared()

    def run(arch: Any) -> None:
        for name in _validators(cls):
            with suppress(Exception):  # a rule that refuses has still shown what it reads
                getattr(arch, name)()

    _explore(watched, items, prefix, seen, run)
    return _named(seen, ours)


def _validators(cls: Any) -> list[str]:
    """Names of the rules that see a finished architecture, and so can be watched."""
    validators = cls.__pydantic_decorators__.model_validators
    return [name for name, item in validators.items() if name != _OWN and item.info.mode == "after"]


def refuses(space: Any, items: tuple[Declared, ...], assignment: dict[str, Any], names: Collection[str]) -> bool:
    """Whether a rule refuses an assignment for these choices alone, so that no architecture has their options."""
    for cls, prefix in _spaces(space, ()):
        path = "".join(f"{part}." for part in prefix)
        own = {name.removeprefix(path): value for name, value in assignment.items() if name.startswith(path)}
        for validator in _validators(cls):
            seen: set[str] = set()
            try:
                getattr(_unchecked(_watching(cls, prefix, seen), cls._declared(), own), validator)()
            except Exception:  # rules refuse by any error
                read = [item for item in items if item.choice.name in _named(seen, items)]
                behind = {item.choice.name for item in read} | {item.length_of for item in read if item.length_of}
                if behind <= set(names):
                    return True
    return False


def _explore(
    watched: Any, items: tuple[Declared, ...], prefix: tuple[str, ...], seen: set[str], run: Callable[[Any], None]
) -> None:
    """Run a function on architectures until it reads nothing new.

    What is read first does not depend on anything; what is read next depends only on values read before. So all
    combinations of the choices known to be read show the rest, however deep an ``if`` hides it. Where they are too
    many, random architectures stand in.
    """
    rng = random.Random(0)
    for _ in range(_DRAWS):
        run(_unchecked(watched, items, {item.choice.name: rng.choice(item.choice.options) for item in items}))
    known: set[str] = set()
    prefixes = [".".join((*prefix, item.choice.name)) for item in items]
    while True:
        read = [
            item
            for item, name in zip(items, prefixes, strict=True)
            if any(f"{name}.".startswith(f"{field}.") for field in seen)
        ]
        if {item.choice.name for item in read} == known or prod(len(i.choice.options) for i in read) > _COMBINATIONS:
            return
        known = {item.choice.name for item in read}
        base = {item.choice.name: rng.choice(item.choice.options) for item in items}
        for options in product(*(item.choice.options for item in read)):
            chosen = {item.choice.name: option for item, option in zip(read, options, strict=True)}
            run(_unchecked(watched, items, base | chosen))


def choices_read(space: Any, items: tuple[Declared, ...], name: str) -> tuple[set[str], list[Any]]:
    """Names of the choices that a property reads, and values it gave, over random architectures (rules unchecked)."""
    seen: set[str] = set()
    values: list[Any] = []

    def run(arch: Any) -> None:
        with suppress(Exception):  # undefined for an impossible combination
            values.append(getattr(arch, name))

    _explore(_watching(space, (), seen), items, (), seen, run)
    return _named(seen, items), values


def _unchecked(cls: Any, items: tuple[Declared, ...], values: dict[str, Any]) -> Any:
    """An instance that no rule has seen, nested spaces included."""
    from elasticnas.space.schema import assemble

    def construct(model: Any, data: dict[str, Any]) -> Any:
        built = {}
        for name, info in model.model_fields.items():
            value = data[name]
            nested = isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
            built[name] = (
                construct(info.annotation, value) if nested else tuple(value) if isinstance(value, list) else value
            )
        return model.model_construct(**built)

    return construct(cls, assemble(items, values))
