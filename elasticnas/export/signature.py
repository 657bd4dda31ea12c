"""Signature: the example inputs of a network by name, and their dynamic dimensions."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from elasticnas.errors import ConfigError

__all__ = ["Dynamic", "Inputs", "Signature"]

Dynamic = Mapping[str, Mapping[int, Any]]
"""Maps an argument of forward and a dimension to a name or ``torch.export.Dim(name, min=1, max=...)``."""

_MAX_CHECKED_SIZE = 4096


@dataclass(frozen=True)
class Inputs:
    """One call of the network: positional and keyword arguments."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Signature:
    """The arguments of a network's forward, from an example.

    Args:
        module: A plain network.
        example: A tensor, a tuple of arguments, or a mapping of keyword arguments; values that are not tensors become
            constants of the exported network.
        dynamic: Dimensions whose size may vary; None for none.

    Raises:
        ConfigError: The example does not match forward, or ``dynamic`` names an unknown input or dimension.
    """

    def __init__(self, module: nn.Module, example: object, dynamic: Dynamic | None = None) -> None:
        self._by_name = isinstance(example, Mapping)
        args = example if isinstance(example, tuple) else () if self._by_name else (example,)
        kwargs = dict(example) if isinstance(example, Mapping) else {}
        forward = inspect.signature(module.forward)
        self._parameters = set(forward.parameters)
        try:
            self._example: dict[str, Any] = forward.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise ConfigError(f"the example does not match {type(module).__name__}.forward{forward}: {error}") from None
        for name, value in self._example.items():
            if isinstance(value, (tuple, list, dict)):
                raise ConfigError(
                    f"example: {name} is a {type(value).__name__}; an exported network takes tensors by name: "
                    "wrap it in a module whose forward takes each tensor as an argument"
                )
        if not self.names:
            raise ConfigError(f"example: no tensor among {sorted(self._example)}; an exported network needs an input")
        self.dims = self._checked(dynamic or {})
        self._sizes = self._sizes_of_example()

    @property
    def names(self) -> list[str]:
        """Names of the tensors, in the order of forward's arguments."""
        return [name for name, value in self._example.items() if isinstance(value, Tensor)]

    def lacks(self, name: str) -> bool:
        """Return whether forward has an argument with this name that the example does not have."""
        return name in self._parameters and name not in self._example

    @property
    def shapes(self) -> dict[str, dict[int, Any] | None]:
        """The argument ``dynamic_shapes`` of torch.export."""
        return {name: self.dims.get(name) for name in self._example}

    def tensors(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return the tensors of a call by name."""
        named = inputs.kwargs if self._by_name else dict(zip(self._example, inputs.args, strict=True))
        return {name: named[name] for name in self.names}

    def traced(self) -> Inputs:
        """Return the inputs to trace with: sizes of 1 are increased, which torch.export would take for constants."""
        return self._resized({name: min(max(2, size), self._bounds(name)[1]) for name, size in self._sizes.items()})

    def samples(self) -> list[Inputs]:
        """Return the inputs to check with: the example, the smallest and a large size of every dynamic dimension."""
        found = [self._resized(self._sizes)]
        if self._sizes:
            found.append(self._resized({name: self._bounds(name)[0] for name in self._sizes}))
            found.append(self._resized({name: self._bounds(name)[1] for name in self._sizes}))
        return found

    def _checked(self, dynamic: Dynamic) -> dict[str, dict[int, Any]]:
        made: dict[str, Any] = {}
        found: dict[str, dict[int, Any]] = {}
        for name, dims in dynamic.items():
            if name not in self.names:
                raise ConfigError(f"dynamic: no input {name!r}; the tensors of the example are {', '.join(self.names)}")
            shape = tuple(self._example[name].shape)
            for position, dim in dims.items():
                if not 0 <= position < len(shape):
                    raise ConfigError(f"dynamic: {name} has the shape {shape}, no dimension {position}")
                if not isinstance(dim, str) and not (hasattr(dim, "__name__") and hasattr(dim, "max")):
                    raise ConfigError(
                        f"dynamic: {name}, dimension {position}: expected a name or torch.export.Dim(name, max=...), "
                        f"found {dim!r}"
                    )
                # one Dim per name: dimensions with the same name have the same size
                made.setdefault(dim if isinstance(dim, str) else dim.__name__, dim)
        for name, dim in made.items():
            if isinstance(dim, str):
                made[name] = Dim(name, min=1)
        for name, dims in dynamic.items():
            found[name] = {p: made[d if isinstance(d, str) else d.__name__] for p, d in dims.items()}
        return found

    def _sizes_of_example(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for name, dims in self.dims.items():
            for position, dim in dims.items():
                size = self._example[name].shape[position]
                if sizes.setdefault(dim.__name__, size) != size:
                    raise ConfigError(
                        f"dynamic: {dim.__name__!r} is {sizes[dim.__name__]} and {size} in the example; "
                        "dimensions with the same name must have the same size"
                    )
                if not max(1, dim.min) <= size <= dim.max:
                    raise ConfigError(
                        f"dynamic: {dim.__name__!r} is {size} in the example, not in {dim.min}..{dim.max}"
                    )
        return sizes

    def _bounds(self, name: str) -> tuple[int, int]:
        dim = next(dim for dims in self.dims.values() for dim in dims.values() if dim.__name__ == name)
        large = int(dim.max) if dim.max <= _MAX_CHECKED_SIZE else 2 * self._sizes[name] + 1
        return max(1, int(dim.min)), large

    def _resized(self, sizes: dict[str, int]) -> Inputs:
        values = dict(self._example)
        for name, dims in self.dims.items():
            for position, dim in dims.items():
                size, value = sizes[dim.__name__], values[name]
                values[name] = value.index_select(position, torch.arange(size) % value.shape[position])
        return Inputs((), values) if self._by_name else Inputs(tuple(values.values()), {})
