"""SupernetTrainer: train the shared weights of a supernet by sampling architectures at each step."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from elasticnas.calls import usage
from elasticnas.errors import ConfigError, SearchError
from elasticnas.nn import idle_parameters
from elasticnas.parallel import Whole, is_sharded, prepared, rank, require_same, size
from elasticnas.run import BatchStream, PlainState, Run, Stateful, drive
from elasticnas.runtime import SeededRandom
from elasticnas.search.arguments import require_kind, settings_or_default
from elasticnas.search.descent import Descent, MakeOptimizer
from elasticnas.search.evaluation import with_metrics
from elasticnas.search.health import Jumps
from elasticnas.search.problem import Problem
from elasticnas.search.schedule import warm_cosine, warm_up
from elasticnas.search.settings import TrainerSettings
from elasticnas.search.shared_loss import SharedLoss
from elasticnas.search.sharing import shared
from elasticnas.search.training_result import TrainingResult
from elasticnas.search.validation import Validation

__all__ = ["SupernetTrainer", "soft_cross_entropy"]

Distillation = Callable[[Tensor, Tensor], Tensor]


class SupernetTrainer:
    """Trains the weights of a supernet so that its sub-networks need little or no further training.

    Each step runs several architectures on one batch and takes one optimizer step with the mean of their gradients:

    * ``sandwich``: the largest, the smallest and some random ones. If the problem has ``predict``, all but the largest
      also learn from the predictions of the largest (in-place distillation), with ``distillation_weight``; the source
      uses 1.
    * ``random``: some random ones.
    * ``single``: one random one.

    Random architectures are drawn by :meth:`Space.sample`. It works with any supernet, elastified ones included.

    Args:
        problem: The problem, with loss and train, and with evaluate or held_out if ``validate_every`` is set.
        settings: Number of steps, rule, learning rate, seed.
        distillation: ``distillation(student, teacher) -> ()`` of two predictions; None for the cross entropy with the
            teacher's probabilities.
        optimizer: Makes the optimizer; None for Adam without weight decay. Weight decay changes units with a zero
            gradient, which no architecture of the step has; so does momentum, but only for a short time.

    Raises:
        ConfigError: The problem lacks a part.
        InactiveChoiceError: A choice changes nothing in the model.
        SearchError: There are no weights to train, or ``predict`` is given with a rule that does not run the largest.

    Source: sandwich rule and in-place distillation, arXiv:1903.05134; single path, arXiv:1904.00420.
    """

    @usage("SupernetTrainer(Problem(model, loss, train), TrainerSettings(steps=1000)).run()")
    def __init__(
        self,
        problem: Problem,
        settings: "TrainerSettings | None" = None,
        *,
        distillation: "Distillation | None" = None,
        optimizer: "MakeOptimizer | None" = None,
    ) -> None:
        require_kind("SupernetTrainer", problem, Problem, "Problem(model, loss, train)")
        self.settings = settings = settings_or_default("SupernetTrainer", settings, TrainerSettings)
        problem.require("SupernetTrainer", "loss", "train")
        assert problem.loss is not None and problem.train is not None
        self.problem = problem
        self._given: dict[str, Any] = {"distillation": distillation, "optimizer": optimizer}
        self.axes, self.loss = problem.axes, SharedLoss(problem.loss)
        self.model = problem.model
        self.space = self.axes.space
        self.predict = problem.predict if settings.distillation_weight else None
        if self.predict is not None and settings.rule != "sandwich":
            raise SearchError(
                f"predict distils from the largest, which rule={settings.rule!r} does not run: use sandwich, or "
                "distillation_weight=0"
            )
        self.distillation = SharedLoss(distillation or soft_cross_entropy, like=self.loss)
        self._descent = Descent(problem.weights(), settings.weight_lr, settings.clip_norm, optimizer)
        self._train = BatchStream(problem.train, "train", settings.seed)
        self._rng = SeededRandom(settings.seed)
        self._largest, self._smallest = self.space.largest(), self.space.smallest()
        self._validation = None if settings.validate_every is None else Validation(problem, self.axes, settings)
        self._jumps = Jumps()
        self.identity = (
            problem.identity()
            | {
                # a setting that is off is left out, so that older checkpoints can be resumed
                "settings": settings.model_dump(
                    exclude={"checkpoint_every"} | (set() if settings.per_process else {"per_process"})
                ),
                "distilled": None if self.predict is None else _qualified_name(distillation or soft_cross_entropy),
                "optimizer": self._descent.identity,
            }
            | ({"processes": size()} if settings.per_process else {})
        )
        self._kept, self.step = PlainState(history=[]), 0

    def run(self, run: "Run | None" = None) -> TrainingResult:
        """Train the supernet.

        Args:
            run: Saves and resumes the training; None saves nothing. A resumed training ends with the same weights as
                an uninterrupted one.

        Raises:
            CheckpointError: The run's checkpoint is damaged or belongs to another run.
            SearchError: A loss or a gradient is not finite, or the loss is not a differentiable scalar; the last
                checkpoint is kept.
        """
        run = Run.given(run)
        problem = shared(self.problem, run)
        if problem is not self.problem:  # FSDP2 has replaced the weights
            return SupernetTrainer(problem, self.settings, **self._given).run(run)
        self._descent.require_current(problem.weights(), "SupernetTrainer")
        self.model = prepared(self.model, "SupernetTrainer")
        if self.settings.per_process and is_sharded(self.model):
            raise ConfigError(
                "per_process=True: processes that share sharded weights must run the same layers; use DDP, or leave it"
            )
        seconds = drive(self, run, "train", self.settings.checkpoint_every)
        if self._validation is not None and self.settings.patience is not None and self._validation.best_weights:
            Whole(self.model).load_state_dict(self._validation.best_weights)
        return TrainingResult(
            metric=None if self._validation is None else self._validation.metric,
            direction=None if self._validation is None else self._validation.direction,
            history=self._kept["history"],
            validations=[] if self._validation is None else self._validation.records,
            warnings=(*run.changes, *self._jumps.warnings),
            seconds=seconds,
            steps=self.step,
        )

    @property
    def steps(self) -> int:
        """Number of optimizer steps; patience may end the training earlier."""
        return self.settings.steps

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.step >= self.steps or (self._validation is not None and self._validation.exhausted)

    def advance(self) -> dict[str, Any]:
        """Take one optimizer step, and validate if it is due."""
        settings = self.settings
        # all processes draw for all of them, so that their generators stay equal
        drawn = [self._draw_architectures() for _ in range(size() if settings.per_process else 1)]
        require_same("the drawn architectures", drawn)
        archs = drawn[rank()] if settings.per_process else drawn[0]
        self.model.train()
        factor = self._schedule()
        self._descent.begin(factor)
        sums = [0.0] * len(archs)
        for _ in range(settings.accumulate):
            sums = [one + loss for one, loss in zip(sums, self._losses(self._train.next(), archs), strict=True)]
        if settings.masked:
            self._drop_idle_gradients([arch for each in drawn for arch in each])
        self._descent.finish(self.step)
        self.step += 1
        first, *others = (one / settings.accumulate for one in sums)
        self._jumps.see(first, self.step)
        record = {
            "learning_rate": float(self._descent.rates[0] * factor),
            "loss": first,
            "others": sum(others) / len(others) if others else None,
        }
        self._kept["history"].append({"step": self.step, **record})
        if self._validation is not None and self.step % (settings.validate_every or 1) == 0:
            record = with_metrics(record, self._validation.look(self.step))
        return record

    def _losses(self, batch: Any, archs: list[Any]) -> list[float]:
        """Add the gradients of each architecture's loss on a batch, and return the losses."""
        parts = len(archs) * self.settings.accumulate
        losses: list[float] = []
        teacher: Tensor | None = None
        for number, arch in enumerate(archs):
            with self._scope(arch):
                loss, predictions = self._loss_of(batch, teacher)
                what = f"loss of {arch!r}"
                losses.append(self._descent.add(loss, parts, what, self.step, "loss and distillation return"))
            teacher = predictions if number == 0 else teacher
        return losses

    def _scope(self, arch: Any) -> "AbstractContextManager[Any]":
        return self.axes.masked(arch) if self.settings.masked else self.axes.at(arch)

    def _drop_idle_gradients(self, archs: list[Any]) -> None:
        """Remove the zero gradients of parameters that no masked architecture runs: momentum would change them."""
        idle = set(self._descent.weights)
        for arch in archs:
            with self.axes.at(arch):
                idle &= idle_parameters(self.model)
        for parameter in idle:
            # the forward may run a layer beyond the depth directly
            if parameter.grad is not None and not parameter.grad.any():
                parameter.grad = None

    def _draw_architectures(self) -> list[Any]:
        settings = self.settings
        count = 1 if settings.rule == "single" else settings.random_architectures
        drawn = [self.space.sample(self._rng) for _ in range(count)]
        return [self._largest, self._smallest, *drawn] if settings.rule == "sandwich" else drawn

    def _loss_of(self, batch: Any, teacher: "Tensor | None") -> "tuple[Tensor, Tensor | None]":
        """Return the loss of the architecture in scope, and its predictions if it is the teacher."""
        if self.predict is None:
            return self.loss(self.model, batch), None
        weight = self.settings.distillation_weight
        if teacher is not None and weight == 1.0:
            return self.distillation(self.predict(self.model, batch), teacher), None
        loss = self.loss(self.model, batch)
        if teacher is not None:
            distilled = self.distillation(self.predict(self.model, batch), teacher)
            return weight * distilled + (1.0 - weight) * loss, None
        # a second forward pass: the loss function does not return its predictions
        with torch.no_grad():
            return loss, self.predict(self.model, batch)

    def _schedule(self) -> float:
        settings = self.settings
        if settings.schedule == "constant":
            return warm_up(self.step, settings.warmup_steps)
        return warm_cosine(self.step, settings.steps, settings.warmup_steps)

    def parts(self) -> dict[str, Stateful]:
        """Return the objects whose state a checkpoint saves."""
        validation = {} if self._validation is None else {"validation": self._validation}
        return {
            "model": Whole(self.model),
            "weights": self._descent,
            "train": self._train,
            "architectures": self._rng,
            "jumps": self._jumps,
            "kept": self._kept,
            **validation,
        }


def _qualified_name(function: Any) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def soft_cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean cross entropy of student and teacher logits ``(..., classes)``, with soft targets."""
    return -(teacher.softmax(-1) * student.log_softmax(-1)).sum(-1).mean()
