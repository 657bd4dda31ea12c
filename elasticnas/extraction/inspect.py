"""Inspection of a model: its axes, and whether every choice has an effect on it."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from types import SimpleNamespace
from typing import Any, cast

from torch import nn

from elasticnas.axes import Axes, Group, Size
from elasticnas.errors import AxisError, InactiveChoiceError, short_repr
from elasticnas.space import Space

__all__ = ["axes_of", "check", "sizes_of"]


def sizes_of(model: nn.Module) -> Iterator[tuple[str, Size]]:
    """Yield every elastic size in the attributes of a model's modules, with the dotted name of the attribute."""
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
    """Return the Axes object of a model's sizes.

    Raises:
        AxisError: It is no model, has no elastic size, or sizes of several Axes objects.
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
    return AxisError(f"a model (torch.nn.Module) is needed, got {short_repr(given)} ({type(given).__name__}){more}")


def check(model: nn.Module, axes: Axes | Space | None = None) -> None:
    """Check that every choice of the space has an effect on the model.

    A choice has an effect if any size of a module depends on it.

    Args:
        model: The model.
        axes: The axes that it should use; None means those it uses.

    Raises:
        InactiveChoiceError: A choice has no effect; the message names all such choices.
        AxisError: The model uses other axes.
    """
    axes = cast(Axes, axes or axes_of(model))  # a Space for checkers only: see SizesOf
    reached: set[str] = set()
    for _, size in sizes_of(model):
        for axis in size.leaves:
            if axis.axes is not axes:
                raise AxisError(
                    f"{type(model).__name__} follows other axes than the ones given; call Space.axes() once"
                )
            # a quantity that is the same for all options of a choice does not count
            reached |= {choice.name for choice in axis.quantity.choices if _depends_on(axis, choice.name)}
    inactive = [c.name for c in axes.space.choice_list() if c.name not in reached and len(c.options) > 1]
    if inactive:
        raise InactiveChoiceError(
            f"{axes.space.__name__}: {', '.join(inactive)} ha{'s' if len(inactive) == 1 else 've'} no effect on "
            f"{type(model).__name__}; give the axes to its modules, or remove the choices from the space"
        )


def _depends_on(axis: Any, name: str) -> bool:
    position = [choice.name for choice in axis.quantity.choices].index(name)
    groups: dict[tuple[int, ...], set[Any]] = {}
    for indices, value in axis.quantity.combinations:
        groups.setdefault(indices[:position] + indices[position + 1 :], set()).add(value)
    # if a rule ties the choice to another, every group may have one value although the choice matters
    return any(len(values) > 1 for values in groups.values()) or len(axis.options) > 1
