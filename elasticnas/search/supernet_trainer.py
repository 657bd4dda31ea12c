"""SupernetTrainer: weights that serve every architecture, by sampling architectures at each step."""

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.axes import Scope
from elasticnas.checkpoint import load_checkpoint, plain, save_checkpoint
from elasticnas.errors import SearchError
from elasticnas.extraction import axes_of, check
from elasticnas.nn import idle_parameters
from elasticnas.runtime import random_state, restore_random_state
from elasticnas.search.descent import require_finite, require_finite_gradients, require_scalar
from elasticnas.search.schedule import warm_cosine, warm_up
from elasticnas.search.settings import TrainerSettings
from elasticnas.search.stream import BatchStream, Epochs

__all__ = ["SupernetTrainer", "TrainerProgress", "TrainingResult", "soft_cross_entropy"]

Loss = Callable[[nn.Module, Any], Tensor]
Predict = Callable[[nn.Module, Any], Tensor]
Distillation = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TrainerProgress:
    """Where a training is, for a progress display."""

    step: int
    steps: int
    loss: float
    seconds_left: float


@dataclass(frozen=True)
class TrainingResult:
    """How a training went.

    Attributes:
        history: One record per step: step, learning rate, the loss of the first architecture (with the sandwich rule
            the largest's), and the mean of the others', None where there is none.
        seconds: Of all runs together.
        steps: Done.
    """

    history: list[dict[str, Any]] = field(repr=False)
    seconds: float
    steps: int


class SupernetTrainer:
    """Trains the weights of a supernet so that its sub-networks need little or no training of their own.

    Each step runs several architectures on one batch and takes one optimizer step with the mean of their gradients:

    * ``sandwich``: the largest, the smallest and some random ones. Where ``predict`` is given, all but the
      largest learn from its predictions on the batch, by ``distillation_weight``, and from the targets by the rest
      (in-place distillation; at 1 it is the source's).
    * ``random``: that many random ones.
    * ``single``: one random one.

    Random architectures are drawn as :meth:`Space.sample` does. Any supernet will do, elastified ones included.

    Args:
        model: The supernet, trained in place.
        loss: ``loss(model, batch) -> ()``.
        train: ``train(epoch)`` gives an iterable of batches.
        settings: Lengths, rule, rates, seed.
        predict: ``predict(model, batch) -> (..., classes)`` logits; with the sandwich rule only.
        distillation: ``distillation(student, teacher) -> ()`` of two predictions; None for the cross entropy with the
            teacher's probabilities.
        optimizer: Makes the optimizer; None for Adam without weight decay: decay moves units whose gradient is
            zero because no architecture of the step has them, and so does momentum, which fades.

    Raises:
        InactiveChoiceError: A choice reaches nothing in the model.
        SearchError: No weights to train, or ``predict`` with another rule.

    Source: sandwich rule and in-place distillation, arXiv:1903.05134; single path, arXiv:1904.00420.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        train: Epochs,
        settings: TrainerSettings,
        *,
        predict: Predict | None = None,
        distillation: Distillation | None = None,
        optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
    ) -> None:
        self.axes = axes_of(model)
        check(model, self.axes)
        if predict is not None and settings.rule != "sandwich":
            raise SearchError(
                f"predict distils from the largest, which rule={settings.rule!r} does not run: use sandwich"
            )
        self.model, self.loss, self.settings, self.space = model, loss, settings, self.axes.space
        self.predict, self.distillation = predict, distillation or soft_cross_entropy
        self._weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not self._weights:
            raise SearchError(f"{type(model).__name__} has no weights to train")
        self._optimizer = (optimizer or self._adam)(self._weights)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._train, self._rng = BatchStream(train, "train"), random.Random(settings.seed)
        self._largest, self._smallest = self.space.largest(), self.space.smallest()
        self._identity = self._describe()
        self.step, self._seconds = 0, 0.0
        self._history: list[dict[str, Any]] = []

    def run(
        self,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        identity: Mapping[str, Any] | None = None,
        progress: Callable[[TrainerProgress], None] | None = None,
    ) -> TrainingResult:
        """Train.

        Args:
            checkpoint: File that is written every ``checkpoint_every`` steps.
            resume: Take up the checkpoint where there is one: the weights become those of an uninterrupted run.
            identity: Further plain data that a checkpoint must agree with, such as a fingerprint of the data.
            progress: Called after every step.

        Raises:
            CheckpointError: The checkpoint is damaged or belongs to another run.
            SearchError: A loss or a gradient is not finite, or the loss is no scalar with a gradient; the checkpoint
                before stays.
        """
        path = Path(checkpoint) if checkpoint is not None else None
        if path is not None and resume and path.exists():
            self._load_state_dict(load_checkpoint(path, self._identity, identity))
        before, started, first = self._seconds, time.perf_counter(), self.step
        while self.step < self.settings.steps:
            loss = self._one_step()
            elapsed = time.perf_counter() - started
            self._seconds = before + elapsed
            due = self.step % self.settings.checkpoint_every == 0 or self.step == self.settings.steps
            if path is not None and due:
                save_checkpoint(path, self._state_dict(), self._identity, identity)
            if progress is not None:
                left = elapsed / (self.step - first) * (self.settings.steps - self.step)
                progress(TrainerProgress(self.step, self.settings.steps, loss, left))
        return TrainingResult(self._history, self._seconds, self.step)

    def _one_step(self) -> float:
        batch, archs = self._train.next(), self._drawn()
        self.model.train()
        rate = self._schedule()
        for group, full in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = full * rate
        self._optimizer.zero_grad(set_to_none=True)
        losses: list[float] = []
        teacher: Tensor | None = None
        for number, arch in enumerate(archs):
            with self._scope(arch):
                loss, seen = self._loss_of(batch, teacher)
                require_scalar(loss, "loss and distillation return")
                require_finite(loss, f"loss of {arch!r}", self.step)
                (loss / len(archs)).backward()
            losses.append(float(loss.detach()))
            teacher = seen if number == 0 else teacher
        if self.settings.masked:
            self._drop_idle_gradients(archs)
        norm = torch.nn.utils.clip_grad_norm_(self._weights, self.settings.clip_norm or math.inf)
        require_finite_gradients(norm, "", self.step)
        self._optimizer.step()
        self.step += 1
        others = losses[1:]
        self._history.append(
            {
                "step": self.step,
                "learning_rate": self._rates[0] * rate,
                "loss": losses[0],
                "others": sum(others) / len(others) if others else None,
            }
        )
        return losses[0]

    def _scope(self, arch: Any) -> Scope:
        return self.axes.masked(arch) if self.settings.masked else self.axes.at(arch)

    def _drop_idle_gradients(self, archs: list[Any]) -> None:
        """Masked, what no architecture of the step runs has gradients of zero, by which momentum would move it."""
        idle = set(self._weights)
        for arch in archs:
            with self.axes.at(arch):
                idle &= idle_parameters(self.model)
        for parameter in idle:
            # a forward may call a layer beyond the depth by itself
            if parameter.grad is not None and not parameter.grad.any():
                parameter.grad = None

    def _drawn(self) -> list[Any]:
        settings = self.settings
        count = 1 if settings.rule == "single" else settings.random_architectures
        drawn = [self.space.sample(self._rng) for _ in range(count)]
        return [self._largest, self._smallest, *drawn] if settings.rule == "sandwich" else drawn

    def _loss_of(self, batch: Any, teacher: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The loss of the architecture in scope, and what others learn from it."""
        if self.predict is None:
            return self.loss(self.model, batch), None
        share = self.settings.distillation_weight
        if teacher is not None and share == 1.0:
            return self.distillation(self.predict(self.model, batch), teacher), None
        loss = self.loss(self.model, batch)
        if teacher is not None:
            distilled = self.distillation(self.predict(self.model, batch), teacher)
            return share * distilled + (1.0 - share) * loss, None
        # a second pass: the loss is a plain callable and keeps its predictions to itself
        with torch.no_grad():
            return loss, self.predict(self.model, batch)

    def _schedule(self) -> float:
        settings = self.settings
        if settings.schedule == "constant":
            return warm_up(self.step, settings.warmup_steps)
        return warm_cosine(self.step, settings.steps, settings.warmup_steps)

    def _adam(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=self.settings.weight_lr, fused=True)

    def _describe(self) -> dict[str, Any]:
        optimizer = {name: plain(value) for name, value in self._optimizer.defaults.items()}
        return {
            "space": {name: list(options) for name, options in self.space.choices().items()},
            "model": {name: list(value.shape) for name, value in self.model.state_dict().items()},
            "settings": self.settings.model_dump(exclude={"checkpoint_every"}),
            "distilled": None if self.predict is None else _name(self.distillation),
            "optimizer": {"kind": type(self._optimizer).__name__, **optimizer},
        }

    def _state_dict(self) -> dict[str, Any]:
        version, internal, gauss = self._rng.getstate()
        return {
            "step": self.step,
            "seconds": self._seconds,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "train": self._train.state_dict(),
            "history": self._history,
            "architectures": [version, list(internal), gauss],
            "random": random_state(),
        }

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self._seconds, self._history = state["step"], state["seconds"], list(state["history"])
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._train.load_state_dict(state["train"])
        version, internal, gauss = state["architectures"]
        self._rng.setstate((version, tuple(internal), gauss))
        restore_random_state(state["random"])


def _name(function: Any) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def soft_cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy of a student's logits ``(..., classes)`` with a teacher's probabilities, mean over the rest."""
    return -(teacher.softmax(-1) * student.log_softmax(-1)).sum(-1).mean()
