"""Sizes of a composition: small expressions that mean axes in a supernet and numbers in a plain network."""

from functools import reduce
from typing import Any

__all__ = ["parse", "size_of"]


def parse(text: str) -> list[list[str]]:
    """Terms of a sum, each a list of factors: ``"2*half+inner"`` is ``[["2", "half"], ["inner"]]``."""
    return [term.split("*") for term in text.split("+")]


def size_of(text: str, sizes: Any) -> Any:
    """The size that an expression means, from axes or from an architecture."""
    terms = [reduce(lambda a, b: a * b, [_named(name, sizes) for name in factors]) for factors in parse(text)]
    return reduce(lambda a, b: a + b, terms)


def _named(name: str, sizes: Any) -> Any:
    """A number, or a field by its dotted path, such as ``part.inner`` or ``widths.0``."""
    if name.isdigit():
        return int(name)
    for part in name.split("."):
        sizes = sizes[int(part)] if part.isdigit() else getattr(sizes, part)
    return sizes
