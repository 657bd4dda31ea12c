"""Which units of a full tensor an architecture has, counted out by hand: no axes, no select."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from elasticnas.testing.compositions.sizes import parse, size_of

__all__ = ["Units"]


class Units:
    """Places of active units in the full sizes.

    Args:
        space: Whose options give the full sizes.
        arch: The architecture.
    """

    def __init__(self, space: Any, arch: Any) -> None:
        self.options, self.arch = space.choices(), arch

    def active(self, text: str) -> int:
        """How many units a size expression has in the architecture."""
        return int(size_of(text, self.arch))

    def full(self, text: str) -> int:
        """How many the supernet holds: of every factor the most that any architecture has."""
        return sum(prod([self._most(factor) for factor in factors]) for factors in parse(text))

    def _most(self, name: str) -> int:
        if name.isdigit():
            return int(name)
        if name == "double":
            return 2 * int(max(self.options["inner"]))
        if name == "across":
            return int(max(self.options["heads"]) + max(self.options["head_dim"]))
        return int(max(self.options[name]))

    def places(self, text: str) -> Tensor:
        """``(active,)``: the first units of every factor of every term, in the layout of einops."""
        found: list[int] = []
        offset = 0
        for factors in parse(text):
            places, whole = [0], 1
            for factor in factors:
                count = self._most(factor)
                places = [count * place + unit for place in places for unit in range(self.active(factor))]
                whole *= count
            found += [offset + place for place in places]
            offset += whole
        return torch.tensor(found, dtype=torch.long)

    def cut(self, tensor: Tensor, *dimensions: str) -> Tensor:
        """The active part of a tensor whose dimensions hold these sizes."""
        for dim, text in enumerate(dimensions):
            tensor = tensor[(slice(None),) * dim + (self.places(text),)]
        return tensor
