"""A family of models: how to build it, and by hand which units of the full weights a smaller model has."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SPACES = ("hidden", "heads", "head_dim", "kv", "inner", "depth")

Sizes = Mapping[str, int]


class Kept:
    """The units of a dimension, or of one of its factors, that a smaller model keeps.

    ``a * b`` is the dimension with the factors a (outermost) and b, ``a + b`` the concatenation; a number counts units
    that are all kept. So the rows of a fused projection with grouped queries are ``heads * d + kv * d + kv * d``.
    """

    def __init__(self, size: int, units: NDArray[np.int64]) -> None:
        self.size, self.units = size, units

    def __mul__(self, other: "Kept | int") -> "Kept":
        inner = _kept(other)
        return Kept(self.size * inner.size, (self.units[:, None] * inner.size + inner.units).reshape(-1))

    def __rmul__(self, other: int) -> "Kept":
        return _kept(other) * self

    def __add__(self, other: "Kept | int") -> "Kept":
        last = _kept(other)
        return Kept(self.size + last.size, np.concatenate([self.units, self.size + last.units]))

    def __radd__(self, other: int) -> "Kept":
        return _kept(other) + self


def _kept(units: "Kept | int") -> Kept:
    return Kept(units, np.arange(units)) if isinstance(units, int) else units


def first_output(output: Any) -> Tensor:
    """The tensor itself, or the first of a tuple or of a model output."""
    return output if isinstance(output, Tensor) else output[0]


def nothing(sizes: Sizes) -> Sizes:
    return {}


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        name: What the table shows.
        build: ``build(**full)``, the plain model with sizes by name; from a config, so that no weights are loaded.
        full: The sizes of the largest model.
        spaces: By the name of a space (of ``SPACES``), the smaller sizes. The first is the choice; others that it
            names follow the choice in proportion.
        example: ``example(sizes)``, the inputs by the names of forward's arguments.
        layouts: By a pattern of tensor names (the first that matches counts), the layout of a dimension, such as
            ``{"*.qkv.*": {0: "3 * heads * d"}}``; see :class:`Kept`. Dimensions without one keep their first units. A
            pattern may include a bias, which has fewer dimensions than its weight.
        derive: ``derive(sizes)``, sizes that layouts name and ``build`` does not take, such as ``d``.
        output: The tensor to compare, from what the model returns.
        package: What has to be installed.
        note: Which of several readings of a space is meant.
    """

    name: str
    build: Callable[..., nn.Module]
    full: Sizes
    spaces: Mapping[str, Sizes]
    example: Callable[[Sizes], dict[str, Any]]
    layouts: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    derive: Callable[[Sizes], Sizes] = nothing
    output: Callable[[Any], Tensor] = first_output
    package: str = "transformers"
    note: str = ""

    def small(self, space: str) -> Sizes:
        """The sizes of the smaller model of a space."""
        return {**self.full, **self.spaces[space]}

    def units(self, name: str, dim: int, full: Sizes, small: Sizes) -> NDArray[np.int64] | None:
        """The units of a tensor's dimension that the smaller model keeps, in its order; None for the first ones."""
        layout = next((dims for pattern, dims in self.layouts.items() if fnmatchcase(name, pattern)), {}).get(dim)
        if layout is None:
            return None
        every, some = {**full, **self.derive(full)}, {**small, **self.derive(small)}
        names = {key: Kept(every[key], np.arange(some[key])) for key in every}
        return _kept(eval(layout, {}, names)).units

    def places(self, name: str, shape: tuple[int, ...], smaller: tuple[int, ...], full: Sizes, small: Sizes) -> Any:
        """Indices of a smaller model's tensor in the full one; ``full_tensor[places]`` is the smaller tensor."""
        found = [self.units(name, dim, full, small) for dim in range(len(shape))]
        return np.ix_(*(np.arange(n) if u is None else u for n, u in zip(smaller, found, strict=True)))

    def fill(self, model: nn.Module, small_model: nn.Module, full: Sizes, small: Sizes) -> None:
        """Give the smaller model its units of the full model's parameters; buffers stay what it computed."""
        source = dict(model.named_parameters())
        with torch.no_grad():
            for name, held in small_model.named_parameters():
                weight = source[name].detach()
                held.copy_(weight[self.places(name, tuple(weight.shape), tuple(held.shape), full, small)])


def families() -> Iterator[Family]:
    """Every family of the modules beside this one whose package is installed."""
    package = importlib.import_module(__package__ or "")
    for found in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        module = importlib.import_module(f"{package.__name__}.{found}")
        yield from (family for family in getattr(module, "FAMILIES", ()) if find_spec(family.package) is not None)
