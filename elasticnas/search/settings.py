"""Settings of a bilevel search, and of a supernet's training."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["SearchSettings", "TrainerSettings"]


class SearchSettings(BaseModel):
    """How long a search runs and how it steps.

    Attributes:
        steps: Weight steps.
        update_every: f of EASRec's Algorithm 1: an architecture step after every so many weight steps.
        warmup_steps: Weight steps before the first architecture step.
        weight_lr: Learning rate of Adam for the weights, where no optimizer is given. Weight decay is 0: decay and
            momentum would move dead units, whose gradient is zero.
        architecture_lr: Learning rate of Adam for the architecture parameters (betas 0.5 and 0.999, as in DARTS).
        order: 1, or 2 for DARTS's finite-difference second order.
        clip_norm: Largest norm of the weight gradients; None for no clipping.
        evaluate_every: Weight steps between evaluations of the most probable architecture; None for only at the end.
        patience: Evaluations without improvement after which the search stops; None to run all steps.
        random_architectures: How many random architectures to evaluate; None for as many as the search evaluated.
        checkpoint_every: Weight steps between checkpoints.
        seed: Of the noise of relaxations and of random search.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    update_every: int = Field(default=10, ge=1)
    warmup_steps: int = Field(default=0, ge=0)
    weight_lr: float = Field(default=1e-3, gt=0)
    architecture_lr: float = Field(default=1e-2, gt=0)
    order: Literal[1, 2] = 1
    clip_norm: float | None = Field(default=None, gt=0)
    evaluate_every: int | None = Field(default=None, ge=1)
    patience: int | None = Field(default=None, ge=1)
    random_architectures: int | None = Field(default=None, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    seed: int = 0


class TrainerSettings(BaseModel):
    """How a supernet is trained.

    Attributes:
        steps: Optimizer steps.
        rule: Which architectures a step runs: ``sandwich`` (largest, smallest, random ones), ``random``, ``single``.
        random_architectures: Random architectures a step; one with ``single``.
        masked: Whether architectures run as masks at full size instead of slices: more work, the same weights, and one
            graph for ``torch.compile``. For supernets of elastic primitives. What only a skipped layer uses is to be
            held by that layer: elsewhere it has gradients of zero masked, none sliced, and momentum tells them apart.
        distillation_weight: Of the distillation in the loss of all but the largest, the rest is of the targets; where
            predictions are given.
        weight_lr: Learning rate of Adam, where no optimizer is given.
        schedule: Of the learning rate: constant, or a cosine down to 0 at the last step.
        warmup_steps: Steps over which the rate rises linearly.
        clip_norm: Largest norm of the gradients; None for no clipping.
        checkpoint_every: Steps between checkpoints.
        seed: Of the architectures drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    rule: Literal["sandwich", "random", "single"] = "sandwich"
    random_architectures: int = Field(default=2, ge=1)
    masked: bool = False
    distillation_weight: float = Field(default=0.5, ge=0, le=1)
    weight_lr: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)
    checkpoint_every: int = Field(default=100, ge=1)
    seed: int = 0
