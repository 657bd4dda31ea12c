"""Relaxations: functions from architecture parameters to probabilities over options."""

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
        ConfigError: ``floor`` is not above 0, ``start`` is below it, or ``rate`` is negative.

    Source: the defaults are those of EASRec, arXiv:2402.00390v1, Table II; they reach the floor after 19,800 steps.
    """

    start: float = 1.0
    rate: float = 5e-5
    floor: float = 0.01

    def __post_init__(self) -> None:
        if self.floor <= 0 or self.start < self.floor or self.rate < 0:
            raise ConfigError(f"{self}: floor > 0, start >= floor and rate >= 0 are needed")

    def __call__(self, step: int) -> float:
        """Return the temperature at a search step, counted from 0."""
        return max(self.floor, self.start - self.rate * step)

    @classmethod
    def over(cls, steps: int, start: float = 1.0, floor: float = 0.01) -> "Temperature":
        """Return the schedule that reaches its floor at the last of ``steps`` steps."""
        return cls(start, (start - floor) / max(1, steps - 1), floor)


class Relaxation(ABC):
    """A function from the logits of a choice to probabilities over its options.

    Attributes:
        draws: Whether it is random.
        one_hot: Whether a weight step runs one option of every choice; that architecture then runs sliced.
        sampled: Whether architecture steps also run sampled architectures, sliced, and never a mixture; it then works
            with any supernet.
    """

    draws: ClassVar[bool] = False
    one_hot: ClassVar[bool] = False
    sampled: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Return probabilities ``(options,)``, differentiable in the logits ``(options,)``.

        Args:
            logits: The logits.
            step: The search step, for the temperature.
            generator: Source of noise.
        """

    def path(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Return the probabilities of a weight step; by default as in an architecture step."""
        return self(logits, step, generator)

    def cost_probabilities(self, logits: Tensor, drawn: Tensor) -> Tensor:
        """Return the probabilities for the expected cost; by default those of the architecture step."""
        return drawn

    def after_step(self, logits: Tensor, before: Tensor, drawn: Tensor) -> None:  # noqa: B027 - most do nothing
        """Correct the logits in place after an architecture step.

        Args:
            logits: The logits after the step.
            before: The logits before the step.
            drawn: The probabilities of the step.
        """

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the learned probabilities, without temperature and noise: the softmax."""
        return logits.softmax(-1)

    def temperature(self, step: int) -> float:
        """Return the temperature at a search step; 1 by default."""
        return 1.0


class Softmax(Relaxation):
    """``softmax(logits)`` (DARTS, arXiv:1806.09055)."""

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Return probabilities ``(options,)``."""
        return logits.softmax(-1)


class Tempered(Relaxation):
    """``softmax(logits / tau)`` without noise, as in the code of EASRec's authors."""

    def __init__(self, schedule: Temperature | None = None) -> None:
        self.temperature = schedule or Temperature()  # type: ignore[method-assign]

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Return probabilities ``(options,)``."""
        return (logits / self.temperature(step)).softmax(-1)


class Gumbel(Relaxation):
    """``softmax((logits + g) / tau)`` with Gumbel noise g (EASRec, arXiv:2402.00390v1, Eq. 10; arXiv:1611.01144)."""

    draws = True

    def __init__(self, schedule: Temperature | None = None) -> None:
        self.temperature = schedule or Temperature()  # type: ignore[method-assign]

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Return probabilities ``(options,)``."""
        uniform = torch.rand(logits.shape, generator=generator).clamp(1e-10, 1 - 1e-7)
        noise = -torch.log(-torch.log(uniform)).to(logits)
        return ((logits + noise) / self.temperature(step)).softmax(-1)


class StraightThrough(Relaxation):
    """Straight-through Gumbel-softmax: a one-hot draw with the gradient of the soft one (arXiv:1611.01144)."""

    draws = True
    one_hot = True

    def __init__(self, schedule: Temperature | None = None) -> None:
        self._soft = Gumbel(schedule)
        self.temperature = self._soft.temperature  # type: ignore[method-assign]

    def __call__(self, logits: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Return a one-hot vector ``(options,)``."""
        soft = self._soft(logits, step, generator)
        hard = torch.nn.functional.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft)
        # the added difference is exactly 0: the values are exactly 0 and 1
        return hard + (soft - soft.detach())
