"""ElasticModule: what the primitives share, copying and extraction."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

from torch import Tensor, nn

from elasticnas.axes import EXTRACTING, SizeLike, select

__all__ = ["ElasticModule", "inherit"]

M = TypeVar("M", bound=nn.Module)


class ElasticModule(nn.Module, ABC):
    """A module with at least one elastic size.

    Copies follow the same scope as the original. Inside an extraction, a copy is the plain module that
    :meth:`plain` gives for the open scope.
    """

    @abstractmethod
    def plain(self, memo: dict[Any, Any]) -> nn.Module:
        """The plain module of the architecture in scope, with the weights of its active units."""

    def __deepcopy__(self, memo: dict[Any, Any]) -> nn.Module:
        if EXTRACTING in memo:
            plain = self.plain(memo)
            plain.train(self.training)
            memo[id(self)] = plain
            return plain
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied


def inherit(parameter: Tensor, sizes: Sequence[SizeLike], memo: dict[Any, Any]) -> nn.Parameter:
    """The active part of a parameter as a parameter of its own; one that is shared stays shared."""
    if id(parameter) not in memo:
        active = select(parameter.detach(), sizes).clone()
        memo[id(parameter)] = nn.Parameter(active, requires_grad=parameter.requires_grad)
    inherited = memo[id(parameter)]
    assert isinstance(inherited, nn.Parameter)
    return inherited
