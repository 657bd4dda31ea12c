"""Settings of searches and of supernet training."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from elasticnas.calls import NamedFields

__all__ = ["SearchSettings", "TrainerSettings"]


class _Settings(BaseModel, metaclass=NamedFields):
    """Settings of any training.

    Attributes:
        steps: Optimizer steps of the weights.
        weight_lr: Learning rate of Adam, if no optimizer is given.
        clip_norm: Largest norm of the gradients; None for no clipping.
        accumulate: Batches per step, whose gradients are averaged (gradient accumulation).
        patience: Validations without improvement after which training stops; None to take all steps.
        checkpoint_every: Steps between checkpoints.
        seed: Random seed of batches, architectures and noise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=1000, ge=1)
    weight_lr: float = Field(default=1e-3, gt=0)
    clip_norm: float | None = Field(default=None, gt=0)
    accumulate: int = Field(default=1, ge=1)
    patience: int | None = Field(default=None, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    seed: int = 0


class SearchSettings(_Settings):
    """Settings of a search.

    Attributes:
        steps: Weight steps.
        update_every: f of EASRec's Algorithm 1: an architecture step after weight steps 0, f, 2f and so on.
        warmup_steps: Weight steps before the first architecture step.
        architecture_lr: Learning rate of Adam for the architecture parameters (betas 0.5 and 0.999, as in DARTS).
        order: 1, or 2 for DARTS's finite-difference second order.
        evaluate_every: Weight steps between evaluations of the most probable architecture; None for only at the end.
        patience: Evaluations without improvement after which the search stops; None to take all steps.
        random_architectures: Number of random architectures to evaluate; None for as many as the search evaluates.
        retries: How often a failed evaluation is repeated.
    """

    update_every: int = Field(default=10, ge=1)
    warmup_steps: int = Field(default=0, ge=0)
    architecture_lr: float = Field(default=1e-2, gt=0)
    order: Literal[1, 2] = 1
    evaluate_every: int | None = Field(default=None, ge=1)
    random_architectures: int | None = Field(default=None, ge=1)
    retries: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _accumulates_in_first_order(self) -> "SearchSettings":
        if self.order == 2 and self.accumulate > 1:
            raise ValueError("order=2 is the second order of one batch: accumulate=1 is needed")
        return self


class TrainerSettings(_Settings):
    """Settings of supernet training.

    Attributes:
        rule: Which architectures a step runs: ``sandwich`` (largest, smallest, random ones), ``random``, ``single``.
        random_architectures: Random architectures per step; ``single`` always runs one.
        masked: Whether architectures run masked at full size instead of sliced: more work, the same resulting weights,
            and one graph for ``torch.compile``. Only for supernets of elastic primitives. A parameter that only a
            skipped layer uses must belong to that layer: otherwise it has a zero gradient when masked but none when
            sliced, and momentum changes it in one case only.
        distillation_weight: Weight of the distillation loss for all but the largest architecture, if the problem has
            ``predict``; the loss on the targets has the remaining weight.
        schedule: Learning-rate schedule: constant, or a cosine decay to 0 at the last step.
        warmup_steps: Steps of linear learning-rate warm-up.
        validate_every: Steps between validations of the largest, the smallest and some fixed random architectures;
            None for no validation.
        validated_architectures: Number of these random architectures.
        patience: Validations without a better mean metric after which training stops and restores the weights of the
            best validation; None to take all steps.
        per_process: Whether each of several processes draws random architectures of its own, so that a step trains more
            of them: under DDP only, as sharded models run the same layers on all processes.
    """

    rule: Literal["sandwich", "random", "single"] = "sandwich"
    random_architectures: int = Field(default=2, ge=1)
    masked: bool = False
    distillation_weight: float = Field(default=0.5, ge=0, le=1)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    validate_every: int | None = Field(default=None, ge=1)
    validated_architectures: int = Field(default=2, ge=0)
    per_process: bool = False

    @model_validator(mode="after")
    def _validates_to_stop(self) -> "TrainerSettings":
        if self.patience is not None and self.validate_every is None:
            raise ValueError("patience counts validations: set validate_every")
        return self
