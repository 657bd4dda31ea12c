"""Sizes of a composition: expressions that evaluate to axes in a supernet and to numbers in a plain network."""

from functools import reduce
from typing import Any

__all__ = ["parse", "size_of"]


def parse(text: str) -> list[list[str]]:
    """Return the terms of a sum, each a list of factors: ``"2*half+inner"`` is ``[["2", "half"], ["inner"]]``."""
    return [term.split("*") for term in text.split("+")]


def size_of(text: str, sizes: Any) -> Any:
    """Evaluate an expression with axes or with an architecture."""
    terms = [reduce(lambda a, b: a * b, [_value(name, sizes) for name in factors]) for factors in parse(text)]
    return reduce(lambda a, b: a + b, terms)


def _value(name: str, sizes: Any) -> Any:
    """Return a number, or a field by its dotted path, such as ``part.inner`` or ``widths.0``."""
    if name.isdigit():
        return int(name)
    for part in name.split("."):
        sizes = sizes[int(part)] if part.isdigit() else getattr(sizes, part)
    return sizes
