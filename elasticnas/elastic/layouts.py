"""Layouts: what the dimensions of a tensor hold, declared by rules in the manner of einops."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import prod
from typing import Any, Literal

from torch import nn

from elasticnas.errors import AxisError

__all__ = ["Dimension", "Layout", "Rule", "factor_sizes", "parse_rule", "starred", "suggestion"]

_TOKEN = re.compile(r"\(|\)|[^\s()]+")
_NAME = re.compile(r"[A-Za-z_][\w.]*|[1-9]\d*")

How = Literal["fixed", "found", "assumed", "rule"]
AxisValue = Callable[[str], int | None]


@dataclass(frozen=True)
class Rule:
    """A layout for the tensors that a pattern matches.

    Attributes:
        pattern: Of full tensor names, with ``*`` and ``?``.
        text: As written, such as ``"(3 heads head_dim) hidden"``.
        dimensions: Names or numbers of each dimension, outermost first; None (``_``) leaves it to probing.
        owner: Path of the module whose attributes the names may be; None for the tensor's own and those above.
    """

    pattern: str
    text: str
    dimensions: tuple[tuple[str, ...] | None, ...]
    owner: str | None = None

    def matches(self, name: str) -> bool:
        """Whether the rule is about a tensor."""
        return fnmatchcase(name, self.pattern)


@dataclass(frozen=True)
class Dimension:
    """How one dimension of a tensor follows the architecture.

    Attributes:
        how: ``fixed``; ``found``: the first units, as many as one axis says; ``assumed``: likewise, though the size
            is only a function of an axis; ``rule``: every factor keeps its first units.
        label: What it holds, in words.
        factors: Of a rule, outermost first; empty else.
        axes: What an assumed size is a function of.
    """

    how: How
    label: str
    factors: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """The dimensions of one tensor, and where the names in its rule are looked up."""

    name: str
    shape: tuple[int, ...]
    dimensions: tuple[Dimension, ...]
    owner: str | None = None
    source: str = field(default="probing", compare=False)


def parse_rule(pattern: str, text: str, owner: str | None = None) -> Rule:
    """A rule from its text.

    Raises:
        AxisError: The text is no layout.
    """
    dimensions: list[tuple[str, ...] | None] = []
    group: list[str] | None = None
    for token in _TOKEN.findall(text):
        if token == "(" and group is None:
            group = []
        elif token == ")" and group:
            dimensions.append(tuple(group))
            group = None
        elif token == "_" and group is None:
            dimensions.append(None)
        elif _NAME.fullmatch(token) and token != "_":
            if group is None:
                dimensions.append((token,))
            else:
                group.append(token)
        else:
            raise AxisError(_wrong_text(pattern, text))
    if group is not None or not dimensions:
        raise AxisError(_wrong_text(pattern, text))
    return Rule(pattern, text, tuple(dimensions), owner)


def starred(name: str) -> str:
    """The name with ``*`` for the number of every layer."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def suggestion(name: str, dimensions: int, dim: int, composite: str) -> str:
    """A rule to write for a tensor, as an argument of elastify."""
    parts = name.split(".")
    pattern = f"*.{'.'.join(parts[-2:])}" if len(parts) > 2 else name
    layout = " ".join(composite if position == dim else "_" for position in range(dimensions))
    return f"rules={{{pattern!r}: {layout!r}}}"


def _wrong_text(pattern: str, text: str) -> str:
    return (
        f"rule {pattern!r}: {text!r} is no layout; write one name, number, (composite) or _ for each dimension, "
        "such as '(3 heads head_dim) hidden'"
    )


def factor_sizes(
    factors: tuple[str, ...], size: int, axis: AxisValue, root: nn.Module, path: str, where: str
) -> tuple[int, ...]:
    """Sizes of the factors of one dimension in one built model.

    A name is an axis of the space, or an integer attribute of the module at ``path`` or of one above; a single name
    that is neither takes what the others leave.

    Args:
        factors: Names and numbers, outermost first.
        size: Of the dimension.
        axis: Value of an axis in the architecture, None where the space has no such axis.
        root: The built model.
        path: Of the module where attributes are looked up first.
        where: Tensor and dimension, for messages.

    Raises:
        AxisError: Two unknown names, one that is an axis and another attribute, or a product that is not the size.
    """
    sizes = [int(name) if name.isdigit() else _value(name, axis, root, path, where) for name in factors]
    unknown = [name for name, value in zip(factors, sizes, strict=True) if value is None]
    known = prod(value for value in sizes if value is not None)
    label = f"({' '.join(factors)})"
    if len(unknown) > 1:
        raise AxisError(
            f"{where}: {' and '.join(unknown)} of the rule {label} are neither axes of the space nor integer "
            f"attributes of {path or 'the model'} or of a module above it; name them by such"
        )
    if unknown:
        sizes = [size // max(known, 1) if value is None else value for value in sizes]
    found = tuple(value for value in sizes if value is not None)
    if prod(found) != size:
        product = " x ".join(map(str, found))
        raise AxisError(f"{where}: the rule {label} gives {product} = {prod(found)}, but the model has {size} there")
    return found


def _value(name: str, axis: AxisValue, root: nn.Module, path: str, where: str) -> int | None:
    named, parts = axis(name), path.split(".") if path else []
    paths = [".".join(parts[:count]) for count in range(len(parts), -1, -1)]
    held = next(((p, v) for p in paths if (v := _attribute(root.get_submodule(p), name)) is not None), None)
    if named is not None and held is not None and named != held[1]:
        raise AxisError(
            f"{where}: {name} of the rule is {named} as an axis of the space, but {held[1]} as an attribute of "
            f"{held[0] or 'the model'}; name the factor by another attribute or axis"
        )
    return named if held is None else held[1]


def _attribute(module: Any, name: str) -> int | None:
    found = module
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else getattr(found, part, None)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
