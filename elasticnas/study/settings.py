"""Settings of a study."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from elasticnas.calls import NamedFields

__all__ = ["StudySettings"]


class StudySettings(BaseModel, metaclass=NamedFields):
    """How long each part of a study is, and what is compared.

    Attributes:
        steps: Of the supernet's training.
        rule: Which architectures a step runs, see :class:`~elasticnas.search.TrainerSettings`.
        random_architectures: How many random ones, with the rules that have several.
        distillation_weight: As there; 0 for no distillation.
        tune_steps: Of each extracted network, from its inherited weights.
        scratch_steps: Of each network that starts from random weights. None for equal work: as many passes in all as
            the supernet's training and the tuning of the searched networks took.
        weight_lr: Learning rate of Adam. It rises over the first twentieth of the steps; then it falls as a cosine, or
            stays while the supernet is trained: the tuning brings it down.
        tune_lr: Likewise where weights are inherited.
        clip_norm: Largest norm of the gradients; None for no clipping.
        trials: Architectures that the search evaluates, and random search too.
        population: Size of a generation.
        shares: Of the largest network's FLOPs, ascending: up to each one, from the one before, the best is compared.
        checkpoint_every: Steps between checkpoints.
        seed: Of start values, architectures drawn and dropout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=1000, ge=1)
    rule: Literal["sandwich", "random", "single"] = "single"
    random_architectures: int = Field(default=2, ge=1)
    distillation_weight: float = Field(default=0.0, ge=0, le=1)
    tune_steps: int = Field(default=100, ge=1)
    scratch_steps: int | None = Field(default=None, ge=1)
    weight_lr: float = Field(default=2e-3, gt=0)
    tune_lr: float = Field(default=2e-3, gt=0)
    clip_norm: float | None = Field(default=1.0, gt=0)
    trials: int = Field(default=100, ge=1)
    population: int = Field(default=20, ge=2)
    shares: tuple[float, ...] = (0.25, 0.5, 0.75)
    checkpoint_every: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @property
    def passes(self) -> int:
        """Architectures that a step of the supernet's training runs."""
        return {"single": 1, "random": self.random_architectures, "sandwich": 2 + self.random_architectures}[self.rule]

    @property
    def steps_from_scratch(self) -> int:
        """``scratch_steps``, or the steps of equal work: one searched network at each share and the largest."""
        if self.scratch_steps is not None:
            return self.scratch_steps
        return -(-self.steps * self.passes // (len(self.shares) + 1)) + self.tune_steps

    @field_validator("shares")
    @classmethod
    def _ascending(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if not shares or list(shares) != sorted(set(shares)) or shares[0] <= 0 or shares[-1] >= 1:
            raise ValueError("shares ascend between 0 and 1, both left out, such as [0.25, 0.5]")
        return shares
