"""What a model is made of: its axes, and whether every choice reaches it."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from types import SimpleNamespace
from typing import Any, cast

from torch import nn

from elasticnas.axes import Axes, Group, Size
from elasticnas.errors import AxisError, InactiveChoiceError, shown
from elasticnas.space import Space

__all__ = ["axes_of", "check", "sizes_of"]


def sizes_of(model: nn.Module) -> Iterator[tuple[str, Size]]:
    """Every elastic size that a module holds, as an attribute or inside one, with its dotted name."""
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute not in ("_parameters", "_buffers", "_modules"):
                for size in _sizes_in(value):
                    yield f"{name}.{attribute}".lstrip("."), size


def _sizes_in(value: Any) -> Iterator[Size]:
    if isinstance(value, Size):
        yield value
    elif isinstance(value, (Axes, Group)):
        yield from value.all()  # any of them may be used
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _sizes_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _sizes_in(item)
    elif isinstance(value, SimpleNamespace) or (is_dataclass(value) and not isinstance(value, type)):
        for item in vars(value).values():
            yield from _sizes_in(item)


def axes_of(model: nn.Module) -> Axes:
    """The axes that a model follows.

    Raises:
        AxisError: It is no model, has no elastic size, or sizes of two spaces.
    """
    if not isinstance(model, nn.Module):
        raise _no_model(model)
    owners = {id(size.axes): size.axes for _, size in sizes_of(model)}
    if not owners:
        raise AxisError(
            f"{type(model).__name__} has no elastic size: build it with axes, Net(Space.axes()), or make it elastic by "
            "elasticnas.elastify(build, Space)"
        )
    if len(owners) > 1:
        names = sorted(axes.space.__name__ for axes in owners.values())
        raise AxisError(
            f"{type(model).__name__} follows {len(owners)} Axes objects {names}, expected one: "
            "call Space.axes() once and give its attributes to the model's parts"
        )
    return next(iter(owners.values()))


def _no_model(given: Any) -> AxisError:
    """The error of what is no model, with what was meant."""
    if isinstance(given, type) and issubclass(given, nn.Module):
        return AxisError(f"a model is needed, got the class {given.__name__}: make it, {given.__name__}(Space.axes())")
    if isinstance(given, Axes):
        return AxisError(f"a model is needed, got axes: build one with them, Net({given.space.__name__}.axes())")
    more = "; the model comes first, then the architecture" if hasattr(type(given), "choice_list") else ""
    return AxisError(f"a model (torch.nn.Module) is needed, got {shown(given)} ({type(given).__name__}){more}")


def check(model: nn.Module, axes: Axes | Space | None = None) -> None:
    """Refuse a model that some choice of its space cannot change.

    A choice reaches the model through any size that follows from it: a parameter or buffer shape, a count of
    modules, a branch, or a size attribute of a module.

    Raises:
        InactiveChoiceError: Names each choice that reaches nothing.
        AxisError: The model follows other axes.
    """
    axes = cast(Axes, axes or axes_of(model))  # a Space for checkers only: see SizesOf
    reached: set[str] = set()
    for _, size in sizes_of(model):
        for axis in size.leaves:
            if axis.axes is not axes:
                raise AxisError(
                    f"{type(model).__name__} follows other axes than the ones given; call Space.axes() once"
                )
            # a quantity that is the same for all options of a choice does not carry it
            reached |= {choice.name for choice in axis.quantity.choices if _matters(axis, choice.name)}
    silent = [c.name for c in axes.space.choice_list() if c.name not in reached and len(c.options) > 1]
    if silent:
        raise InactiveChoiceError(
            f"{axes.space.__name__}: {', '.join(silent)} reach{'es' if len(silent) == 1 else ''} nothing in "
            f"{type(model).__name__}; give the axes to its parts, or take the choices out of the space"
        )


def _matters(axis: Any, name: str) -> bool:
    position = [choice.name for choice in axis.quantity.choices].index(name)
    groups: dict[tuple[int, ...], set[Any]] = {}
    for indices, value in axis.quantity.combinations:
        groups.setdefault(indices[:position] + indices[position + 1 :], set()).add(value)
    # under a rule every group may hold one value although the choice moves together with another
    return any(len(values) > 1 for values in groups.values()) or len(axis.options) > 1
