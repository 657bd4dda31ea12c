"""Layouts: the axes or factors of every dimension of a tensor, declared by rules in the notation of einops."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from torch import nn

from elasticnas.elastic.expressions import Expression, parse_dimensions
from elasticnas.errors import AxisError

__all__ = ["Dimension", "How", "Layout", "Rule", "as_rules", "layered", "parse_rule", "sizes_of", "starred"]

How = Literal["fixed", "axis", "size", "rule", "proven", "no effect"]
AxisValue = Callable[[str], int | None]


@dataclass(frozen=True)
class Rule:
    """A layout for the tensors that a pattern matches.

    Attributes:
        pattern: Pattern for full tensor names, with ``*`` and ``?``.
        text: The rule as written, such as ``"(3 heads head_dim) hidden"``.
        dimensions: The expression of each dimension; None (``_``) for its first units.
    """

    pattern: str
    text: str
    dimensions: tuple[Expression | None, ...]

    def matches(self, name: str) -> bool:
        """Return whether the pattern matches the name of a tensor."""
        return fnmatchcase(name, self.pattern)


@dataclass(frozen=True)
class Dimension:
    """How one dimension of a tensor depends on the architecture.

    Attributes:
        how: ``fixed``: it does not. ``axis``: its size is an axis. ``size``: its size is another function of axes.
            ``rule``: a rule says which units it keeps. ``proven``: the model's behaviour shows which units it keeps.
            ``no effect``: its units do not affect the output.
        label: Its size as text, such as the name of the axis.
        expression: The factors that keep their first units each; None if the dimension keeps its first units.
        axes: The axes or choices that its size depends on, if it is not an axis itself.
        note: What else is known, such as that behaviour agrees with a rule.
    """

    how: How
    label: str
    expression: Expression | None = None
    axes: tuple[str, ...] = ()
    note: str = field(default="", compare=False)


@dataclass(frozen=True)
class Layout:
    """The dimensions of one tensor.

    Attributes:
        name: Name of the tensor in the supernet.
        shape: Its full shape.
        dimensions: How each dimension depends on the architecture.
        source: ``probing``, ``behaviour`` or ``your rule``.
    """

    name: str
    shape: tuple[int, ...]
    dimensions: tuple[Dimension, ...]
    source: str = field(default="probing", compare=False)


def parse_rule(pattern: str, text: str) -> Rule:
    """Parse the text of a rule.

    Raises:
        AxisError: The text is not a layout.
    """
    try:
        dimensions = parse_dimensions(text)
    except ValueError:
        raise AxisError(
            f"rule {pattern!r}: {text!r} is not a layout; write one name, number, (product or sum) or _ for each "
            "dimension, such as '(3 heads head_dim) hidden' or '(heads d + kv d + kv d) _'"
        ) from None
    return Rule(pattern, text, dimensions)


def starred(name: str) -> str:
    """Return the name with ``*`` in place of layer numbers."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", re.sub(r"^\d+(?=\.)", "*", name))


def layered(names: Iterable[str]) -> dict[str, str]:
    """Return each name with ``*`` in place of the numbers of layers, by name.

    A number counts layers if another name differs in it alone, and modules stand below it: ``0`` and ``2`` of
    ``0.weight`` and ``2.weight`` are different layers of a sequence. Layers within layers count too, such as experts.
    """
    split = {name: name.split(".") for name in names}
    counts = Counter(others for parts in split.values() for _, others in _numbers(parts))
    found = {}
    for name, parts in split.items():
        places = [place for place, others in _numbers(parts) if counts[others] > 1]
        found[name] = ".".join("*" if place in places else part for place, part in enumerate(parts))
    return found


def _numbers(parts: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the place of each number of a name that modules stand below, and the name without that number."""
    for place, part in enumerate(parts[:-2]):
        if part.isdigit():
            yield place, (*parts[:place], "*", *parts[place + 1 :])


def as_rules(texts: Mapping[str, str]) -> str:
    """Return rules as an argument of elastify, to paste."""
    return f"rules={{{', '.join(f'{pattern!r}: {text!r}' for pattern, text in texts.items())}}}"


def sizes_of(
    expression: Expression, size: int, axis: AxisValue, root: nn.Module, path: str, where: str
) -> dict[str, int]:
    """Return the sizes of the names of one dimension in one built model.

    A name is an axis of the space, or an integer attribute of the module at ``path`` or of one around it; the size of
    a single name that is neither follows from the size of the dimension.

    Args:
        expression: The dimension as declared.
        size: Size of the dimension.
        axis: Returns the value of an axis in the architecture, None if the space has no such axis.
        root: The built model.
        path: Path of the module where attributes are looked up first.
        where: Tensor and dimension, for messages.

    Raises:
        AxisError: Two names are unknown, a name is an axis and an attribute with different values, or the expression
            does not give the size.
    """
    names = [name for name in dict.fromkeys(expression.names()) if not name.isdigit()]
    known = {name: _value(name, axis, root, path, where) for name in names}
    unknown = [name for name, value in known.items() if value is None]
    label = f"({expression.text()})"
    if len(unknown) > 1:
        raise AxisError(
            f"{where}: {' and '.join(unknown)} of the rule {label} are neither axes of the space nor integer "
            f"attributes of {path or 'the model'} or of a module around it; use such names"
        )
    try:
        constant, factor = expression.form(known)
    except ArithmeticError:
        raise AxisError(f"{where}: the rule {label} multiplies {unknown[0]} by itself; name its sizes") from None
    if unknown and factor > 0:
        known[unknown[0]] = max(0, size - constant) // factor
        constant, factor = expression.form(known)
    if constant != size:
        given = ", ".join(f"{name}={value}" for name, value in known.items())
        raise AxisError(
            f"{where}: the rule {label} gives {constant}{f' with {given}' if given else ''}, but the model has {size} "
            "there"
        )
    return {name: value for name, value in known.items() if value is not None}


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
