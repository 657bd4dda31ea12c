"""Penalties: what the expected cost adds to the loss of the architecture parameters."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from elasticnas.errors import ConfigError
from elasticnas.space import Space

__all__ = ["DualAscent", "Dynamic", "Fixed", "NoPenalty", "Penalty"]


class Penalty(ABC):
    """A term of the architecture loss.

    Costs arrive *relative*: divided by the cost of the largest architecture, so that a weight means the same for
    FLOPs, parameters or milliseconds.

    Attributes:
        learned: Names of attributes that change while it works, and are no setting.
    """

    learned: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __call__(self, expected: Tensor, current: Space, largest: Space) -> Tensor:
        """The term.

        Args:
            expected: Relative expected cost, ``()``, in [0, 1], with gradients to the architecture parameters.
            current: The architecture of the most probable options.
            largest: The largest architecture.
        """

    @property
    def weight(self) -> float:
        """The weight that the expected cost has now, for the history."""
        return 0.0

    def update(self, expected: float) -> None:  # noqa: B027 - most penalties learn nothing
        """Learn from the relative expected cost after an architecture step."""

    def state_dict(self) -> dict[str, float]:
        """What has been learned, for a checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, float]) -> None:  # noqa: B027
        """Take up what has been learned."""


class NoPenalty(Penalty):
    """Accuracy alone."""

    def __call__(self, expected: Tensor, current: Space, largest: Space) -> Tensor:
        """Zero."""
        return expected * 0.0


class Fixed(Penalty):
    """``weight * expected``.

    Raises:
        ConfigError: The weight is negative or not finite.
    """

    def __init__(self, weight: float) -> None:
        self._weight = _checked(weight)

    @property
    def weight(self) -> float:
        """The weight."""
        return self._weight

    def __call__(self, expected: Tensor, current: Space, largest: Space) -> Tensor:
        """The term."""
        return self._weight * expected


class Dynamic(Penalty):
    """``weight * L_t / L * expected``: the more layers the current hard choice has, the more cost weighs.

    Args:
        weight: lambda.
        depth: The field that holds the number of layers.

    Raises:
        ConfigError: The weight is negative or not finite; at a call, the architecture has no such field.

    Source: EASRec, arXiv:2402.00390v1, Eq. 15 and 16. The paper does not say how FLOPs are normalised; here the
    expected FLOPs are divided by the largest architecture's.
    """

    learned = ("_last",)

    def __init__(self, weight: float = 0.1, depth: str = "depth") -> None:
        self._weight, self.depth = _checked(weight), depth
        self._last = self._weight

    @property
    def weight(self) -> float:
        """lambda times L_t / L at the last call."""
        return self._last

    def __call__(self, expected: Tensor, current: Space, largest: Space) -> Tensor:
        """The term."""
        if not hasattr(current, self.depth):
            raise ConfigError(f"Dynamic(depth={self.depth!r}): {type(current).__name__} has no such field")
        self._last = self._weight * getattr(current, self.depth) / getattr(largest, self.depth)
        return self._last * expected


class DualAscent(Penalty):
    """``weight * (expected / limit - 1)`` where the weight grows while the expected cost is over the limit.

    Args:
        limit: Relative cost to reach, a fraction of the largest architecture's.
        rate: Growth of the weight per architecture step and unit of excess.
        start: Weight at the beginning.

    Raises:
        ConfigError: ``limit`` is not over 0 and at most 1, or ``start`` is negative or not finite.
    """

    learned = ("_weight",)

    def __init__(self, limit: float, rate: float = 0.05, start: float = 0.0) -> None:
        if not 0 < limit <= 1:
            raise ConfigError(f"DualAscent(limit={limit}): a fraction of the largest cost, over 0 and at most 1")
        self.limit, self.rate, self._weight = limit, rate, _checked(start)

    @property
    def weight(self) -> float:
        """The multiplier now."""
        return self._weight

    def __call__(self, expected: Tensor, current: Space, largest: Space) -> Tensor:
        """The term."""
        return self._weight * (expected / self.limit - 1.0)

    def update(self, expected: float) -> None:
        """One step of dual ascent, the weight kept at 0 or more."""
        self._weight = max(0.0, self._weight + self.rate * (expected / self.limit - 1.0))

    def state_dict(self) -> dict[str, float]:
        """The multiplier."""
        return {"weight": self._weight}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take up the multiplier."""
        self._weight = state["weight"]


def _checked(weight: float) -> float:
    if not 0 <= weight < float("inf"):
        raise ConfigError(f"penalty weight {weight}: 0 or more is needed")
    return weight
