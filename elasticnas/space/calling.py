"""How a factory of plain models is called for an architecture."""

import inspect
from collections.abc import Callable, Collection
from typing import Any

__all__ = ["names_taken"]


def names_taken(build: Callable[..., Any], fields: Collection[str], others: Collection[str] = ()) -> list[str] | None:
    """The names that a factory takes as keyword arguments, or None where it takes the architecture itself.

    A factory takes keywords where every argument without a default is a name of the space, or where it collects
    keywords: it then gets every field, and every other name that it spells out.

    Args:
        build: ``build(hidden, depth)``, ``build(**sizes)`` or ``build(arch)``.
        fields: Fields of the space.
        others: Further names that an architecture has, such as its properties.
    """
    parameters = [p for p in inspect.signature(build).parameters.values() if p.kind is not p.VAR_POSITIONAL]
    spelled = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    collects = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = [name for name in spelled if name in fields or name in others]
    if not set(needed) <= {*fields, *others} or not (known or collects):
        return None
    return [*known, *(name for name in fields if name not in known)] if collects else known
