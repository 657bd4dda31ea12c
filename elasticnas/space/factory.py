"""Factory: call a function that builds plain models with the arguments for an architecture."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from elasticnas.errors import ConfigError
from elasticnas.space.space import Space

__all__ = ["Factory"]

T = TypeVar("T")


class Factory(Generic[T]):
    """A function that builds plain models, and the rule for calling it with an architecture.

    If all arguments without a default are named like fields or properties of the space, such as
    ``build(hidden, depth, head_dim)``, it is called with keywords; arguments with a default and such a name are passed
    too, and ``**sizes`` gets all remaining fields. Otherwise it must have exactly one argument without a default, or
    ``*args``, and is called with the architecture itself.

    Args:
        build: A function, class, method or partial.
        space: The search space.

    Attributes:
        taken: The names of the keywords; None if it takes the architecture.

    Raises:
        ConfigError: ``build`` fits neither form; it is a partial that fixes a field or property of the space; or it
            has no signature.
    """

    def __init__(self, build: Callable[..., T], space: type[Space]) -> None:
        properties = [name for name in space.info().properties if "." not in name]
        self._set(build, space.__name__, list(space.model_fields), properties)

    @classmethod
    def of_names(
        cls, build: Callable[..., T], space: str, fields: Sequence[str], properties: Sequence[str]
    ) -> "Factory[T]":
        """Make a factory for a space of which only the names are known."""
        factory = cls.__new__(cls)
        factory._set(build, space, fields, properties)
        return factory

    def __call__(self, arch: object) -> T:
        """Build the model of an architecture; raises whatever ``build`` raises."""
        return self.build(arch) if self.taken is None else self.build(**self.arguments(arch))

    def arguments(self, arch: object) -> dict[str, Any]:
        """Return the keyword arguments for an architecture; empty if ``build`` takes the architecture itself."""
        return {name: getattr(arch, name) for name in self.taken or ()}

    def call(self, arch: object) -> str:
        """Return the call for an architecture as text, for messages."""
        given = [f"{name}={value!r}" for name, value in self.arguments(arch).items()]
        return f"{_name_of(self.build)}({', '.join(given) if self.taken is not None else repr(arch)})"

    def _set(self, build: Callable[..., T], space: str, fields: Sequence[str], properties: Sequence[str]) -> None:
        self.build = build
        self._space, self._fields, self._properties = space, tuple(fields), tuple(properties)
        self.taken = self._keywords(_parameters(build))

    def _keywords(self, parameters: list[inspect.Parameter]) -> tuple[str, ...] | None:
        names = {*self._fields, *self._properties}
        named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        known = tuple(name for name in named if name in names)
        needed = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        collects = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if (known or collects) and all(p.name in known for p in needed):
            self._require_free(known)
            return (*known, *(name for name in self._fields if name not in known)) if collects else known
        if [p.kind is not p.KEYWORD_ONLY for p in needed] == [True]:
            return None
        if not needed and any(p.kind is p.VAR_POSITIONAL for p in parameters):
            return None
        raise ConfigError(
            f"{_name_of(self.build)}{_argument_list(parameters)} takes neither sizes of {self._space} nor its "
            f"architecture: the fields are {', '.join(self._fields)}, the properties "
            f"{', '.join(self._properties) or 'none'}; name its arguments like them and give others a default, "
            "or let it take the architecture alone"
        )

    def _require_free(self, known: Sequence[str]) -> None:
        fixed = self.build.keywords if isinstance(self.build, partial) else {}
        if clash := [name for name in known if name in fixed]:
            name = clash[0]
            raise ConfigError(
                f"{_name_of(self.build)} fixes {name}={fixed[name]!r}, which {self._space} has too: leave it free, or "
                "take it out of the space"
            )


def _parameters(build: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(build).parameters.values())
    except (TypeError, ValueError):
        raise ConfigError(
            f"{_name_of(build)}: its arguments are not known; wrap it in a function of the sizes or of the architecture"
        ) from None


def _name_of(build: Any) -> str:
    function = build.func if isinstance(build, partial) else build
    return str(getattr(function, "__name__", "build"))


def _argument_list(parameters: Sequence[inspect.Parameter]) -> str:
    return f"({', '.join(p.name for p in parameters)})"
