"""Relaxations: from architecture parameters to probabilities over options."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from elasticnas.errors import ConfigError

__all__ = ["Gumbel", "Relaxation", "Softmax", "StraightThrough", "Temperature", "Tempered"]


@dataclass(frozen=True)
class Temperature:
    """``max(floor, start - rate * step)``, no unit.

    Args:
        start: Temperature at step 0.
        rate: Decrease per search step.
        floor: Smallest temperature.

    Raises:
        ConfigError: ``floor`` is not over 0, ``start`` is under it, or ``rate`` is negative.

    Source: the default is EASRec, arXiv:2402.00390v1, Table II: it reaches its floor after 19,800 steps.
    """

    start: float = 1.0
    rate: float = 5e-5
    floor: float = 0.01

    def __post_init__(self) -> None:
        if self.floor <= 0 or self.start < self.floor or self.rate < 0:
            raise ConfigError(f"{self}: floor > 0, start >= floor and rate >= 0 are needed")

    def __call__(self, step: int) -> float:
        """Temperature at a search step, counted from 0."""
        return max(self.floor, self.start - self.rate * step)

    @classmethod
    def over(cls, steps: int, start: float = 1.0, floor: float = 0.01) -> "Temperature":
        """The schedule that reaches its floor at the last of ``steps`` steps."""
        return cls(start, (start - floor) / max(1, steps - 1), floor)


class Relaxation(ABC):
    """How logits of one choice become probabilities over its options.

    Attributes:
        draws: Whether calls with the same logits differ, by noise.
        one_hot: Whether a weight step runs one option of every choice; it is then sliced, and costs what that
            architecture costs.
        sampled: Whether an architecture step runs sampled architectures too, sliced, and never a mixture: it then
            searches any supernet.
    """

    draws: ClassVar[bool] = False
    one_hot: ClassVar[bool] = False
    sampled: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Probabilities ``(options,)`` with gradients to the logits ``(options,)``; noise comes from the generator."""

    def path(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """What a weight step runs; the same as an architecture step where not overridden."""
        return self(logits, step, generator)

    def cost_probabilities(self, logits: Tensor, drawn: Tensor) -> Tensor:
        """The probabilities that the expected cost is taken over; those that were drawn where not overridden."""
        return drawn

    def after_step(self, logits: Tensor, before: Tensor, drawn: Tensor) -> None:  # noqa: B027 - most leave them
        """Correct the logits after an architecture step, given those before it and what it drew."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """What was learned, without temperature and noise, for results and the choice at the end: the softmax."""
        return logits.softmax(-1)

    def temperature(self, step: int) -> float:
        """Temperature at a search step; 1 where there is none."""
        return 1.0


class Softmax(Relaxation):
    """``softmax(logits)`` (DARTS, arXiv:1806.09055)."""

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Probabilities ``(options,)``."""
        return logits.softmax(-1)


class Tempered(Relaxation):
    """``softmax(logits / tau)``: what EASRec's authors run, without noise."""

    def __init__(self, schedule: Temperature | None = None) -> None:
        self.temperature = schedule or Temperature()  # type: ignore[method-assign]

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Probabilities ``(options,)``."""
        return (logits / self.temperature(step)).softmax(-1)


class Gumbel(Relaxation):
    """``softmax((logits + g) / tau)`` with Gumbel noise g (EASRec, arXiv:2402.00390v1, Eq. 10; arXiv:1611.01144)."""

    draws = True

    def __init__(self, schedule: Temperature | None = None) -> None:
        self.temperature = schedule or Temperature()  # type: ignore[method-assign]

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Probabilities ``(options,)``."""
        uniform = torch.rand(logits.shape, generator=generator).clamp(1e-10, 1 - 1e-7)
        noise = -torch.log(-torch.log(uniform)).to(logits)
        return ((logits + noise) / self.temperature(step)).softmax(-1)


class StraightThrough(Relaxation):
    """One option runs, drawn by Gumbel noise; gradients are those of the soft probabilities (arXiv:1611.01144)."""

    draws = True
    one_hot = True

    def __init__(self, schedule: Temperature | None = None) -> None:
        self._soft = Gumbel(schedule)
        self.temperature = self._soft.temperature  # type: ignore[method-assign]

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """A one-hot vector ``(options,)``."""
        soft = self._soft(logits, step, generator)
        hard = torch.nn.functional.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft)
        # (soft - soft) is exactly 0, so the values are exactly 0 and 1
        return hard + (soft - soft.detach())
