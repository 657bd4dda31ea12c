"""Penalties: terms of the architecture loss that depend on the expected cost."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from elasticnas.errors import ConfigError
from elasticnas.space import Space

__all__ = ["DualAscent", "Dynamic", "Fixed", "NoPenalty", "Penalty"]


class Penalty(ABC):
    """A term of the architecture loss.

    Costs are *relative*: divided by the cost of the largest architecture, so that a weight has the same meaning for
    FLOPs, parameters and milliseconds.

    Attributes:
        learned: Names of attributes that change during the search and are not settings.
    """

    learned: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __call__(self, expected: Tensor, current: Space, largest: Space) -> Tensor:
        """Return the term ``()``.

        Args:
            expected: Relative expected cost ``()``, in [0, 1], differentiable in the architecture parameters.
            current: The architecture of the most probable options.
            largest: The largest architecture.
        """

    @property
    def weight(self) -> float:
        """The current weight of the expected cost, for the history."""
        return 0.0

    def update(self, expected: float) -> None:  # noqa: B027 - most penalties are constant
        """Update the penalty with the relative expected cost after an architecture step."""

    def state_dict(self) -> dict[str, float]:
        """Return what has been learned, for a checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, float]) -> None:  # noqa: B027
        """Restore what has been learned."""


class NoPenalty(Penalty):
    """No penalty on the cost."""

    def __call__(self, expected: Tensor, current: Space, largest: Space) -> Tensor:
        """Return zero."""
        return expected * 0.0


class Fixed(Penalty):
    """``weight * expected``.

    Raises:
        ConfigError: The weight is negative or not finite.
    """

    def __init__(self, weight: float) -> None:
        self._weight = _require_weight(weight)

    @property
    def weight(self) -> float:
        """The weight."""
        return self._weight

    def __call__(self, expected: Tensor, current: Space, largest: Space) -> Tensor:
        """Return the term."""
        return self._weight * expected


class Dynamic(Penalty):
    """``weight * L_t / L * expected``: the weight of the cost is proportional to the current number of layers.

    Args:
        weight: lambda.
        depth: The field with the number of layers.

    Raises:
        ConfigError: The weight is negative or not finite, or (when called) the architecture has no such field.

    Source: EASRec, arXiv:2402.00390v1, Eq. 15 and 16. The paper does not say how FLOPs are normalised; here the
    expected FLOPs are divided by the largest architecture's.
    """

    learned = ("_last",)

    def __init__(self, weight: float = 0.1, depth: str = "depth") -> None:
        self._weight, self.depth = _require_weight(weight), depth
        self._last = self._weight

    @property
    def weight(self) -> float:
        """lambda times L_t / L at the last call."""
        return self._last

    def __call__(self, expected: Tensor, current: Space, largest: Space) -> Tensor:
        """Return the term."""
        if not hasattr(current, self.depth):
            raise ConfigError(f"Dynamic(depth={self.depth!r}): {type(current).__name__} has no such field")
        self._last = self._weight * getattr(current, self.depth) / getattr(largest, self.depth)
        return self._last * expected


class DualAscent(Penalty):
    """``weight * (expected / limit - 1)``; the weight grows while the expected cost exceeds the limit.

    Args:
        limit: Limit as a fraction of the largest architecture's cost.
        rate: Growth of the weight per architecture step and unit of relative excess.
        start: Initial weight.

    Raises:
        ConfigError: ``limit`` is not over 0 and at most 1, or ``start`` is negative or not finite.
    """

    learned = ("_weight",)

    def __init__(self, limit: float, rate: float = 0.05, start: float = 0.0) -> None:
        if not 0 < limit <= 1:
            raise ConfigError(f"DualAscent(limit={limit}): a fraction of the largest cost, over 0 and at most 1")
        self.limit, self.rate, self._weight = limit, rate, _require_weight(start)

    @property
    def weight(self) -> float:
        """The current multiplier."""
        return self._weight

    def __call__(self, expected: Tensor, current: Space, largest: Space) -> Tensor:
        """Return the term."""
        return self._weight * (expected / self.limit - 1.0)

    def update(self, expected: float) -> None:
        """Take one step of dual ascent; the weight stays at least 0."""
        self._weight = max(0.0, self._weight + self.rate * (expected / self.limit - 1.0))

    def state_dict(self) -> dict[str, float]:
        """Return the multiplier."""
        return {"weight": self._weight}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restore the multiplier."""
        self._weight = state["weight"]


def _require_weight(weight: float) -> float:
    if not 0 <= weight < float("inf"):
        raise ConfigError(f"penalty weight {weight}: 0 or more is needed")
    return weight
