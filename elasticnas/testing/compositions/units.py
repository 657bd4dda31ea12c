"""Units: the active units of an architecture, computed independently of axes and select."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from elasticnas.testing.compositions.sizes import parse, size_of

__all__ = ["Units"]


class Units:
    """Indices of active units in the full sizes.

    Args:
        space: The space, whose options determine the full sizes.
        arch: The architecture.
    """

    def __init__(self, space: Any, arch: Any) -> None:
        self.options, self.arch = space.choices(), arch

    def active(self, text: str) -> int:
        """Return the number of units of a size expression in the architecture."""
        return int(size_of(text, self.arch))

    def full(self, text: str) -> int:
        """Return the number of units in the supernet, with the largest option of every factor."""
        return sum(prod([self._largest(factor) for factor in factors]) for factors in parse(text))

    def _largest(self, name: str) -> int:
        if name.isdigit():
            return int(name)
        if name == "double":
            return 2 * int(max(self.options["inner"]))
        if name == "across":
            return int(max(self.options["heads"]) + max(self.options["head_dim"]))
        return int(max(self.options[name]))

    def places(self, text: str) -> Tensor:
        """Return indices ``(active,)`` of the first units of every factor of every term, in the layout of einops."""
        found: list[int] = []
        offset = 0
        for factors in parse(text):
            places, whole = [0], 1
            for factor in factors:
                count = self._largest(factor)
                places = [count * place + unit for place in places for unit in range(self.active(factor))]
                whole *= count
            found += [offset + place for place in places]
            offset += whole
        return torch.tensor(found, dtype=torch.long)

    def cut(self, tensor: Tensor, *dimensions: str) -> Tensor:
        """Return the active part of a tensor whose dimensions have these sizes."""
        for dim, text in enumerate(dimensions):
            tensor = tensor[(slice(None),) * dim + (self.places(text),)]
        return tensor
