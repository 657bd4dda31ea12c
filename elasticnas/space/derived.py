"""Derived sizes: find the choices that the properties of a space read, by running them on watched architectures."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from pydantic import BaseModel

from elasticnas.axes.quantity import COMBINATIONS
from elasticnas.errors import SpaceError
from elasticnas.space.schema import Declared, lengths, spaces_in
from elasticnas.space.tree import Path, leaves
from elasticnas.space.watch import Node, Watch

__all__ = ["Derived", "TooManyCombinations", "derived", "properties_of"]

_FAILED = object()


def properties_of(space: Any) -> tuple[str, ...]:
    """Return the dotted names of the public properties of a space and its nested spaces, without running them."""
    found = [".".join((*prefix, name)) for prefix, cls in spaces_in(space) for name in _of_class(cls)]
    return tuple(sorted(found, key=lambda name: name.count(".")))


def _of_class(cls: type) -> Iterator[str]:
    own = (base for base in reversed(cls.__mro__) if not issubclass(BaseModel, base))
    seen = {name: value for base in own for name, value in vars(base).items()}
    for name, value in seen.items():
        if isinstance(value, (property, cached_property)) and not name.startswith("_") and not hasattr(BaseModel, name):
            yield name


class TooManyCombinations(SpaceError):
    """A derived size depends on more combinations of options than can be enumerated."""


@dataclass(frozen=True)
class Derived:
    """The sizes of a property.

    Attributes:
        choices: The choices that it reads on any branch.
        sizes: Paths of the sizes in an architecture, by dotted name.
    """

    choices: tuple[Declared, ...]
    sizes: dict[str, tuple[str | int, ...]]


def derived(space: Any, items: tuple[Declared, ...], name: str) -> Derived:
    """Run a property on every path through its branches.

    Args:
        space: The space.
        items: The choices of the space.
        name: Dotted name of the property.

    Returns:
        The sizes; none if the property is not an integer or a tuple of integers, or reads no choice.

    Raises:
        SpaceError: The property fails on every architecture.
        TooManyCombinations: It is a size that depends on too many combinations of options.
    """
    read: set[str] = set()
    entries: set[int | None] = set()
    runs = _Runs(space, items, name)
    for taken, _ in leaves({item.choice.name: range(len(item.choice.options)) for item in items}, runs, COMBINATIONS):
        read.update(taken)
        if runs.value is not _FAILED:
            found = _entries(runs.value)
            if found is None or (None in entries | found and len(entries | found) > 1):
                return Derived((), {})
            entries |= found
        _require_few(f"{space.__name__}.{name}", [item for item in items if item.choice.name in read])
    if not runs.succeeded:
        raise SpaceError(f"{space.__name__}.{name}: the property fails on every architecture")
    choices = tuple(item for item in items if item.choice.name in read)
    path = tuple(name.split("."))
    positions = sorted(entries, key=lambda entry: entry or 0)
    sizes: list[tuple[str | int, ...]] = [path if entry is None else (*path, entry) for entry in positions]
    return Derived(choices, {".".join(map(str, size)): size for size in sizes} if choices else {})


class _Runs:
    """Runs a property on paths and stores its last value."""

    def __init__(self, space: Any, items: tuple[Declared, ...], name: str) -> None:
        *prefix, self._name = name.split(".")
        self._prefix, self._watch = tuple(prefix), Watch(Node.of(space, items), lengths(items))
        self.value: Any = _FAILED
        self.succeeded = False

    def __call__(self, path: Path) -> bool:
        self.value = _FAILED
        with suppress(Exception):  # it may fail for combinations that rules reject
            self.value = getattr(self._watch.on(path).at(self._prefix), self._name)
            # reads all entries of a watched tuple now
            self.value = tuple(self.value) if isinstance(self.value, tuple) else self.value
            self.succeeded = True
        return True


def _entries(value: Any) -> set[int | None] | None:
    """Return the positions of the integers: {None} for an integer, those of a tuple; None if the value is no size."""
    if _is_int(value):
        return {None}
    return set(range(len(value))) if isinstance(value, tuple) and all(map(_is_int, value)) else None


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require_few(where: str, read: Sequence[Declared]) -> None:
    if (combinations := prod(len(item.choice.options) for item in read)) > COMBINATIONS:
        raise TooManyCombinations(
            f"{where} depends on {len(read)} choices with {combinations:,} combinations, and a derived size on at most "
            f"{COMBINATIONS:,}: let it read fewer choices, or add the sizes up inside the model"
        )
