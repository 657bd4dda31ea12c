"""Plan: the sizes that are searched in a model made from a config, and the space of them."""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import model_validator

from elasticnas.space import PerLayer, Space

__all__ = ["Plan", "space_of"]


@dataclass(frozen=True)
class Plan:
    """What is chosen, in plain data.

    Attributes:
        options: Name and options of each size, the largest first.
        per_layer: Names of sizes with a choice for each layer.
        layers: Number of layers of the largest model.
        keep: Whether each layer may be left out.
        head_dim: Width of a head where ``hidden`` is the number of heads times it; else None.
    """

    options: tuple[tuple[str, tuple[int, ...]], ...]
    per_layer: frozenset[str]
    layers: int
    keep: bool
    head_dim: int | None

    @property
    def chosen(self) -> dict[str, tuple[int, ...]]:
        """The options by name."""
        return dict(self.options)

    def kept(self, arch: Any) -> list[int]:
        """Return the numbers of the layers that an architecture has."""
        if self.keep:
            return [number for number, alive in enumerate(arch.keep) if alive]
        return list(range(getattr(arch, "depth", self.layers)))

    def sizes(self, arch: Any) -> list[dict[str, int]]:
        """Return the sizes of each layer that an architecture has."""
        found = []
        for number in self.kept(arch):
            values = {name: getattr(arch, name) for name, _ in self.options if name != "depth"}
            own = {name: value[number] if name in self.per_layer else value for name, value in values.items()}
            if self.head_dim is not None:
                own["hidden"] = own["heads"] * self.head_dim
            found.append(own)
        return found


@cache
def space_of(plan: Plan) -> type[Space]:
    """Return the space of a plan."""
    fields: dict[str, Any] = {}
    own: dict[str, Any] = {"__module__": __name__, "__qualname__": "Sizes", "pickle_factory": (space_of, (plan,))}
    for name, options in plan.options:
        one: Any = Literal[options]
        count = "depth" if "depth" in plan.chosen else plan.layers
        fields[name] = Annotated[tuple[one, ...], PerLayer(count)] if name in plan.per_layer else one
    if plan.keep:
        fields["keep"] = Annotated[tuple[bool, ...], PerLayer(plan.layers)]
        own["depth"] = property(_depth)
        own["some_layer"] = model_validator(mode="after")(_require_layer)
    if plan.head_dim is not None:
        own["hidden"] = property(_Hidden(plan.head_dim))
    if {"heads", "key_groups"} <= plan.chosen.keys():
        own["whole_groups"] = model_validator(mode="after")(_require_whole_groups)
    metaclass: Any = type(Space)
    made: type[Space] = metaclass("Sizes", (Space,), {**own, "__annotations__": fields})
    return made


def _depth(arch: Any) -> int:
    return sum(arch.keep)


def _require_layer(arch: Any) -> Any:
    if not any(arch.keep):
        raise ValueError("keep at least one layer")
    return arch


def _require_whole_groups(arch: Any) -> Any:
    heads, groups = (value if isinstance(value, tuple) else (value,) for value in (arch.heads, arch.key_groups))
    count = max(len(heads), len(groups))
    pairs = zip(heads * (count // len(heads)), groups * (count // len(groups)), strict=True)
    if any(each % group for each, group in pairs):
        raise ValueError("heads must be a multiple of key_groups")
    return arch


@dataclass(frozen=True)
class _Hidden:
    head_dim: int

    def __call__(self, arch: Any) -> int:
        return int(arch.heads) * self.head_dim
