"""Membership: make an architecture from options, and check that an object is an architecture of a space."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from elasticnas.errors import (
    ArchitectureError,
    ElasticNASError,
    SpaceError,
    UnknownNameError,
    describe_error,
    did_you_mean,
    one_line,
    short_repr,
)
from elasticnas.space.schema import Declared, assemble, nested_space, read

__all__ = ["Membership"]

_ABSENT = object()


class Membership:
    """Makes and checks architectures of a space.

    Args:
        space: The space.
        items: The choices of the space.
    """

    def __init__(self, space: Any, items: tuple[Declared, ...]) -> None:
        self._space, self._items, self._name = space, items, space.__name__

    def make(self, assignment: Mapping[str, Any]) -> Any:
        """Make the architecture of an assignment; absent layers need no option.

        Raises:
            ArchitectureError: A rule rejects it, a value is not an option, or a choice has no value.
            SpaceError: A validator changes an option, or raises an error other than ValueError and AssertionError.
        """
        try:
            data = assemble(self._items, assignment)
        except KeyError as error:
            names = [item.choice.name for item in self._items]
            unknown = next((f", and {n!r} is none{did_you_mean(n, names)}" for n in assignment if n not in names), "")
            raise ArchitectureError(f"{self._name}: the choice {error} has no value; give it one{unknown}") from None
        arch = self._validated(data)
        if type(arch) is not self._space or not _holds(arch, data):
            self._require_unchanged(arch, assignment)
        return arch

    def values(self, arch: Any) -> dict[str, Any]:
        """Return the value of every choice by name; absent choices have their first option.

        Raises:
            ArchitectureError: ``arch`` is not a valid architecture of the space.
        """
        if not isinstance(arch, self._space):
            raise self.wrong_type_error(arch)
        again = self._validated(_field_values(self._space, arch))
        values = {}
        for item in self._items:
            value, expected = read(arch, item.path, _ABSENT), read(again, item.path, _ABSENT)
            if not _is_same(value, expected):
                raise ArchitectureError(
                    f"{self._name}: {item.choice.name} is {value!r}, but validation gives {expected!r}"
                )
            values[item.choice.name] = item.choice.options[0 if value is _ABSENT else item.choice.index(value)]
        return values

    def wrong_type_error(self, given: Any) -> ArchitectureError:
        """Return the error for an object that is not an architecture of the space, with the correct form."""
        name = self._name
        way_out = ""
        if isinstance(given, Mapping):
            way_out = f"; write {name}(**{short_repr(given, 60)})"
        elif given is self._space:
            way_out = f"; write {name}({', '.join(f'{field}=...' for field in self._space.model_fields)})"
        elif isinstance(given, type) or hasattr(given, "model_dump"):
            way_out = f"; its class is not {name}"
        kind = "a class" if isinstance(given, type) else type(given).__name__
        return ArchitectureError(f"expected an architecture of {name}, got {short_repr(given)} ({kind}){way_out}")

    def _validated(self, data: Any) -> Any:
        try:
            return self._space.model_validate(data)
        except ValidationError as error:
            raise ArchitectureError(one_line(self._space, error)) from None
        except Exception as error:  # a rule can raise anything
            if isinstance(error, ElasticNASError) and not isinstance(error, UnknownNameError):
                raise
            reason = describe_error(error)
            raise SpaceError(
                f"{self._name}: a rule fails for {data} ({reason}); a rule must raise ValueError to reject it"
            ) from error

    def _require_unchanged(self, arch: Any, assignment: Mapping[str, Any]) -> None:
        if not isinstance(arch, self._space):
            raise SpaceError(f"{self._name}: a validator returns {arch!r} in place of the architecture; return self")
        for item in self._items:
            given = assignment[item.choice.name] if item.active(assignment) else _ABSENT
            if given is _ABSENT and item.in_layer(assignment):
                given = item.choice.options[0]
            made = read(arch, item.path, _ABSENT)
            # a string such as "64" is not an option, and pydantic may convert it to one
            if not _is_same(given, made) and (given is _ABSENT or given in item.choice.options):
                raise SpaceError(
                    f"{self._name}: a validator changes {item.choice.name} from {given!r} to {made!r}; it must "
                    "return its argument or raise ValueError"
                )


def _holds(arch: Any, data: Mapping[str, Any]) -> bool:
    """Return whether an architecture has exactly the values that it was made from."""
    for name, value in data.items():
        made = getattr(arch, name, _ABSENT)
        if isinstance(value, dict):
            if not _holds(made, value):
                return False
        elif isinstance(value, list):
            if not isinstance(made, tuple) or len(made) != len(value) or not all(map(_is_same, value, made)):
                return False
        elif not _is_same(value, made):
            return False
    return True


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and bool(one == other))


def _field_values(space: Any, arch: Any) -> Any:
    """Return the fields of an architecture as data to validate; an object of another class is returned unchanged."""
    if not isinstance(arch, space):
        return arch
    fields = {name: getattr(arch, name, None) for name in space.model_fields}
    nested = {name: nested_space(info) for name, info in space.model_fields.items()}
    return {
        name: value if nested[name] is None else _field_values(nested[name], value) for name, value in fields.items()
    }
