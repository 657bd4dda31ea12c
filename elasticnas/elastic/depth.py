"""Chosen layers: which layers of the supernet a sub-network keeps."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from elasticnas.axes import Axes
from elasticnas.errors import AxisError

__all__ = ["ChosenLayers"]


class ChosenLayers:
    """Stacks of layers of which an architecture keeps some; without a rule it keeps the first ones.

    Args:
        rules: Name of a per-layer field of bools, by a pattern for the paths of ``ModuleList`` or ``Sequential``.
        axes: The axes of the space.
        largest: The largest model, whose stacks hold every layer.

    Raises:
        AxisError: The field does not have one bool for each layer.
    """

    def __init__(self, rules: Mapping[str, str], axes: Axes, largest: nn.Module) -> None:
        self._fields: dict[str, str] = {}
        for pattern, name in rules.items():
            stacks = [
                p
                for p, m in largest.named_modules()
                if isinstance(m, (nn.ModuleList, nn.Sequential)) and fnmatchcase(p, pattern)
            ]
            for path in stacks:
                self._check(path, len(largest.get_submodule(path)._modules), name, axes)
                self._fields[path] = name

    def _check(self, path: str, count: int, name: str, axes: Axes) -> None:
        choices = axes.space.choices()
        entries = [choices.get(f"{name}.{position}") for position in range(count)]
        if (
            not all(options is not None and set(options) == {True, False} for options in entries)
            or f"{name}.{count}" in choices
        ):
            raise AxisError(
                f"rule {path!r}: {name!r} must be a per-layer field with a bool for each of the {count} layers, such "
                f"as {name}: Annotated[tuple[bool, ...], PerLayer({count})]"
            )

    def __bool__(self) -> bool:
        return bool(self._fields)

    @property
    def fields(self) -> set[str]:
        """Names of the per-layer fields that choose layers."""
        return set(self._fields.values())

    def source(self, name: str, arch: Any) -> str:
        """Return the name in the supernet of a tensor or module of a sub-network."""
        for path, field in self._fields.items():
            if name.startswith(f"{path}."):
                number, dot, rest = name.removeprefix(f"{path}.").partition(".")
                kept = [position for position, alive in enumerate(_read(arch, field)) if alive]
                if number.isdigit() and int(number) < len(kept):
                    return f"{path}.{kept[int(number)]}{dot}{rest}"
        return name


def _read(arch: Any, field: str) -> Any:
    for part in field.split("."):
        arch = getattr(arch, part)
    return arch
