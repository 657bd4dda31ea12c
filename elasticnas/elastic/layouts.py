"""Layouts: the axes or factors of every dimension of a tensor, declared by rules in the notation of einops."""

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
        pattern: Pattern for full tensor names, with ``*`` and ``?``.
        text: The rule as written, such as ``"(3 heads head_dim) hidden"``.
        dimensions: Names or numbers of each dimension, outermost first; None (``_``) leaves it to probing.
        owner: Path of the module in which names are looked up as attributes; None for the tensor's module. Modules
            around it are searched too.
    """

    pattern: str
    text: str
    dimensions: tuple[tuple[str, ...] | None, ...]
    owner: str | None = None

    def matches(self, name: str) -> bool:
        """Return whether the pattern matches the name of a tensor."""
        return fnmatchcase(name, self.pattern)


@dataclass(frozen=True)
class Dimension:
    """How one dimension of a tensor depends on the architecture.

    Attributes:
        how: ``fixed``: it does not. ``found``: its size is an axis, and it keeps the first units. ``assumed``: its
            size is some other function of axes, and it is assumed to keep the first units. ``rule``: every factor
            keeps its first units.
        label: Its size as text, such as the name of the axis.
        factors: The factors of a rule, outermost first; else empty.
        axes: The axes or choices that an assumed size depends on.
    """

    how: How
    label: str
    factors: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """The dimensions of one tensor.

    Attributes:
        name: Name of the tensor in the supernet.
        shape: Its full shape.
        dimensions: How each dimension depends on the architecture.
        owner: As for :class:`Rule`.
        source: ``probing``, ``family`` or ``your rule``.
    """

    name: str
    shape: tuple[int, ...]
    dimensions: tuple[Dimension, ...]
    owner: str | None = None
    source: str = field(default="probing", compare=False)


def parse_rule(pattern: str, text: str, owner: str | None = None) -> Rule:
    """Parse the text of a rule.

    Raises:
        AxisError: The text is not a layout.
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
            raise AxisError(_invalid_rule(pattern, text))
    if group is not None or not dimensions:
        raise AxisError(_invalid_rule(pattern, text))
    return Rule(pattern, text, tuple(dimensions), owner)


def starred(name: str) -> str:
    """Return the name with ``*`` in place of layer numbers."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def suggestion(name: str, dimensions: int, dim: int, composite: str) -> str:
    """Return a suggested rule for a tensor, as an argument of elastify."""
    parts = name.split(".")
    pattern = f"*.{'.'.join(parts[-2:])}" if len(parts) > 2 else name
    layout = " ".join(composite if position == dim else "_" for position in range(dimensions))
    return f"rules={{{pattern!r}: {layout!r}}}"


def _invalid_rule(pattern: str, text: str) -> str:
    return (
        f"rule {pattern!r}: {text!r} is not a layout; write one name, number, (composite) or _ for each dimension, "
        "such as '(3 heads head_dim) hidden'"
    )


def factor_sizes(
    factors: tuple[str, ...], size: int, axis: AxisValue, root: nn.Module, path: str, where: str
) -> tuple[int, ...]:
    """Return the sizes of the factors of one dimension in one built model.

    A name is an axis of the space, or an integer attribute of the module at ``path`` or of one around it; the size of
    a single name that is neither is inferred from the others.

    Args:
        factors: Names and numbers, outermost first.
        size: Size of the dimension.
        axis: Returns the value of an axis in the architecture, None if the space has no such axis.
        root: The built model.
        path: Path of the module where attributes are looked up first.
        where: Tensor and dimension, for messages.

    Raises:
        AxisError: Two names are unknown, a name is an axis and an attribute with different values, or the product is
            not the size.
    """
    sizes = [int(name) if name.isdigit() else _value(name, axis, root, path, where) for name in factors]
    unknown = [name for name, value in zip(factors, sizes, strict=True) if value is None]
    known = prod(value for value in sizes if value is not None)
    label = f"({' '.join(factors)})"
    if len(unknown) > 1:
        raise AxisError(
            f"{where}: {' and '.join(unknown)} of the rule {label} are neither axes of the space nor integer "
            f"attributes of {path or 'the model'} or of a module around it; use such names"
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
