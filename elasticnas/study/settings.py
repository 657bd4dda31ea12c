"""Settings of a study."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from elasticnas.calls import NamedFields

__all__ = ["StudySettings"]


class StudySettings(BaseModel, metaclass=NamedFields):
    """Settings of a study.

    Attributes:
        steps: Optimizer steps of the supernet.
        rule: Which architectures a step runs, see :class:`~elasticnas.search.TrainerSettings`.
        random_architectures: Random architectures per step, see there.
        distillation_weight: Weight of the distillation, see there; 0 for no distillation.
        tune_steps: Optimizer steps of each extracted network, from its inherited weights.
        scratch_steps: Optimizer steps of each network from random weights. None for equal work: as many forward passes
            in total as the training of the supernet and the tuning of the searched networks.
        weight_lr: Learning rate of Adam, with a linear warm-up over the first 5% of the steps. It is then constant for
            the supernet, and has a cosine decay for networks from scratch.
        tune_lr: Learning rate for networks with inherited weights, with warm-up and cosine decay.
        clip_norm: Largest norm of the gradients; None for no clipping.
        trials: Architectures that the search evaluates; random search evaluates as many.
        population: Size of a generation.
        shares: Shares of the largest network's FLOPs, ascending. For each share, the best architecture between the
            previous share and this one is compared.
        checkpoint_every: Steps between checkpoints.
        seed: Random seed of initial weights, architectures and dropout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
        """Number of architectures in a training step of the supernet."""
        return {"single": 1, "random": self.random_architectures, "sandwich": 2 + self.random_architectures}[self.rule]

    @property
    def steps_from_scratch(self) -> int:
        """``scratch_steps``, or the steps for equal work with one network for each share and the largest."""
        if self.scratch_steps is not None:
            return self.scratch_steps
        return -(-self.steps * self.passes // (len(self.shares) + 1)) + self.tune_steps

    @field_validator("shares")
    @classmethod
    def _ascending(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if not shares or list(shares) != sorted(set(shares)) or not all(0 < share < 1 for share in shares):
            raise ValueError("shares must ascend strictly between 0 and 1, such as [0.25, 0.5]")
        return shares
