"""Chosen layers: which layers of the supernet a sub-network keeps."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from elasticnas.axes import Axes
from elasticnas.errors import ArchitectureError, AxisError

__all__ = ["ChosenLayers"]


class ChosenLayers:
    """Stacks of layers of which an architecture keeps some; without a rule it keeps the first ones.

    Args:
        rules: Name of a per-layer field of bools, by a pattern for the paths of ``ModuleList`` or ``Sequential``.
        axes: The axes of the space.
        largest: The largest model, whose stacks hold every layer.

    Attributes:
        counts: Number of layers in the supernet, by the path of each stack with a rule.

    Raises:
        AxisError: The field does not have one bool for each layer.
    """

    def __init__(self, rules: Mapping[str, str], axes: Axes, largest: nn.Module) -> None:
        self._fields: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        for pattern, name in rules.items():
            stacks = [
                p
                for p, m in largest.named_modules()
                if isinstance(m, (nn.ModuleList, nn.Sequential)) and fnmatchcase(p, pattern)
            ]
            for path in stacks:
                count = len(largest.get_submodule(path)._modules)
                self._check(path, count, name, axes)
                self._fields[path], self.counts[path] = name, count

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
        for path in self._fields:
            if name.startswith(f"{path}."):
                number, dot, rest = name.removeprefix(f"{path}.").partition(".")
                kept = self.kept(path, arch)
                if number.isdigit() and int(number) < len(kept):
                    return f"{path}.{kept[int(number)]}{dot}{rest}"
        return name

    def kept(self, path: str, arch: Any) -> Sequence[int]:
        """Return the layers of a stack that an architecture keeps; the first one if it keeps none."""
        return self._alive(path, arch) or [0]

    def kept_in(self, model: nn.Module, path: str, arch: Any) -> Sequence[int]:
        """Return the layers that the model of an architecture keeps: if none, the first one, or none as it is built."""
        return self.kept(path, arch) if model.get_submodule(path)._modules else self._alive(path, arch)

    def _alive(self, path: str, arch: Any) -> list[int]:
        values = arch
        for part in self._fields[path].split("."):
            values = getattr(values, part)
        return [position for position, alive in enumerate(values) if alive]

    def all_kept(self, arch: Any) -> bool:
        """Return whether an architecture keeps every layer."""
        return all(len(self.kept(path, arch)) == count for path, count in self.counts.items())

    def wholes(self, arch: Any) -> Iterator[tuple[Any, bool]]:
        """Yield architectures that keep every layer, and whether no other choice differs from ``arch``."""
        space = type(arch)
        own, largest = space.assignment(arch), space.assignment(space.largest())
        fields = {self._fields[path]: count for path, count in self.counts.items()}
        keep = {f"{field}.{number}": True for field, count in fields.items() for number in range(count)}
        for name in (None, *(name for name in own if name not in keep and own[name] != largest[name])):
            try:  # a field for the depth may have to change too
                yield space.from_assignment({**own, **({name: largest[name]} if name else {}), **keep}), name is None
            except ArchitectureError:
                continue
