"""BilevelSearcher: weights on training batches, architecture parameters on held-out batches."""

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.axes import Scope
from elasticnas.checkpoint import load_checkpoint, plain, save_checkpoint
from elasticnas.cost import Budget, Cost, most_probable
from elasticnas.elastic import ElasticModel
from elasticnas.errors import SearchError
from elasticnas.extraction import axes_of, check
from elasticnas.runtime import random_state, restore_random_state
from elasticnas.search.collapse import undecided_or_collapsed
from elasticnas.search.controller import Controller
from elasticnas.search.descent import require_finite, require_finite_gradients, require_scalar
from elasticnas.search.evaluation import Evaluate, Loss, evaluate_at, mean_loss
from elasticnas.search.penalty import NoPenalty, Penalty
from elasticnas.search.pruning import Pruning
from elasticnas.search.random_search import draw_allowed
from elasticnas.search.relaxation import Relaxation, Softmax
from elasticnas.search.result import Candidate, SearchResult, pareto
from elasticnas.search.second_order import unrolled_gradients
from elasticnas.search.settings import SearchSettings
from elasticnas.search.stream import BatchStream, Epochs

__all__ = ["BilevelSearcher", "Loss", "Progress"]


@dataclass(frozen=True)
class Progress:
    """Where a search is, for a progress display."""

    step: int
    steps: int
    loss: float
    metrics: Mapping[str, float]
    expected_cost: float
    seconds_left: float


class BilevelSearcher:
    """Differentiable architecture search over any model made of elastic primitives.

    Every step trains the weights on a training batch with the relaxed architecture; every ``update_every`` steps the
    architecture parameters take a step on a held-out batch, under a penalty on the expected cost. At the end the
    most probable architecture within the budget is returned, beside the best of a random search over the same supernet
    under the same budget. The searcher knows no task: it calls the functions it is given.

    Args:
        model: The supernet, made of elastic primitives. Its weights are trained in place.
        loss: ``loss(model, batch) -> ()`` tensor.
        train: ``train(epoch)`` gives an iterable of training batches.
        held_out: ``held_out(epoch)`` likewise, of data that ``train`` does not hold.
        cost: What architectures cost.
        settings: Lengths, rates, seed.
        relaxation: From logits to probabilities.
        penalty: On the expected cost.
        pruning: Drops options while it runs; None keeps all.
        budget: ``"50%"`` of the largest architecture's cost, an absolute number, or None. A resumed search keeps the
            limit that it began with.
        evaluate: ``evaluate(model) -> {"metric": value}`` with an architecture in scope. None: mean held-out loss.
        metric: Which of them ranks architectures.
        maximise: Whether more is better.
        optimizer: Makes the optimizer of the weights; None for Adam.

    Raises:
        InactiveChoiceError: A choice reaches nothing in the model.
        BudgetError: No architecture meets the budget.
        SearchError: The model is made by ``elastify``, which runs sliced only, or has no weights to train.

    Source: DARTS, arXiv:1806.09055; EASRec, arXiv:2402.00390v1, Eq. 10-17 and Algorithm 1.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        train: Epochs,
        held_out: Epochs,
        cost: Cost,
        settings: SearchSettings,
        *,
        relaxation: Relaxation | None = None,
        penalty: Penalty | None = None,
        pruning: Pruning | None = None,
        budget: "str | float | None" = None,
        evaluate: Evaluate | None = None,
        metric: str = "loss",
        maximise: bool = False,
        optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
    ) -> None:
        if any(isinstance(part, ElasticModel) for part in model.modules()):
            raise SearchError(
                f"{type(model).__name__} is made by elastify and runs sliced, and a search by gradients mixes sizes: "
                "use SPOS, RandomSearch or evolve, or build the model of elasticnas.nn parts"
            )
        self.model, self.loss, self.cost, self.settings = model, loss, cost, settings
        self.axes = axes_of(model)
        check(model, self.axes)
        self.space = self.axes.space
        self.largest = self.space.largest()
        self.penalty, self.pruning = penalty or NoPenalty(), pruning
        self.budget = None if budget is None else Budget.parse(budget, cost)
        self.metric, self.maximise, self._evaluate = metric, maximise, evaluate or mean_loss(loss, held_out)
        self._train, self._held_out = BatchStream(train, "train"), BatchStream(held_out, "held_out")
        weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not weights:
            raise SearchError(f"{type(model).__name__} has no weights to train")
        self._weights = weights
        device = weights[0].device
        self.controller = Controller(self.space, relaxation or Softmax(), device, settings.seed)
        self._optimizer = (optimizer or self._adam)(weights)
        self._architecture_optimizer = torch.optim.Adam(
            self.controller.parameters(), lr=settings.architecture_lr, betas=(0.5, 0.999)
        )
        self._identity = self._describe()
        self.step = 0
        self._seconds = 0.0
        self._history: list[dict[str, Any]] = []
        self._evaluated: list[tuple[Any, float, dict[str, float]]] = []
        self._stopped = False

    def run(
        self,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        identity: Mapping[str, Any] | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> SearchResult:
        """Search.

        Args:
            checkpoint: File that is written every ``checkpoint_every`` steps.
            resume: Take up the checkpoint where there is one: the run then continues to the same figures.
            identity: Further plain data that a checkpoint must agree with, such as a fingerprint of the data.
            progress: Called after every step.

        Raises:
            CheckpointError: The checkpoint is damaged or belongs to another run.
            SearchError: A loss or a gradient is not finite, or the loss is no scalar with a gradient; the checkpoint
                before stays.
            ConfigError: ``evaluate`` gives no mapping with the metric.
        """
        path = Path(checkpoint) if checkpoint is not None else None
        if path is not None and resume and path.exists():
            self._load_state_dict(load_checkpoint(path, self._identity, identity))
        before, started, first = self._seconds, time.perf_counter(), self.step
        while self.step < self.settings.steps and not self._stopped:
            loss = self._one_step()
            self._seconds = before + time.perf_counter() - started
            done = self.step == self.settings.steps or self._stopped
            if path is not None and (done or self.step % self.settings.checkpoint_every == 0):
                save_checkpoint(path, self._state_dict(), self._identity, identity)
            if progress is not None:
                pace = (time.perf_counter() - started) / (self.step - first)
                progress(self._progress(loss, pace))
        result = self._result()
        for line in result.warnings:
            warnings.warn(line, stacklevel=2)
        return result

    def _one_step(self) -> float:
        settings = self.settings
        batch = self._train.next()
        self.model.train()
        with self._path():
            loss = self.loss(self.model, batch)
        require_scalar(loss)
        require_finite(loss, "training loss", self.step)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._weights, settings.clip_norm or math.inf)
        require_finite_gradients(norm, " of the weights", self.step)
        self._optimizer.step()
        if self.step >= settings.warmup_steps and self.step % settings.update_every == 0:
            self._architecture_step(batch, float(loss.detach()))
        self.step += 1
        if settings.evaluate_every is not None and self.step % settings.evaluate_every == 0:
            self._evaluate_now()
        return float(loss.detach())

    def _path(self) -> Scope:
        """The scope of a weight step: one architecture, sliced, or probabilities."""
        drawn = self.controller.path(self.step)
        if self.controller.relaxation.one_hot:
            return self.axes.at(self.controller.likeliest(drawn))
        return self.axes.relaxed({name: value.detach() for name, value in drawn.items()})

    def _architecture_step(self, batch: Any, train_loss: float) -> None:
        held_out_batch = self._held_out.next()
        current = self._hard()
        logits = self.controller.parameters()
        before = [value.detach().clone() for value in logits]
        noise, dropout = self.controller.generator.get_state(), random_state()

        def total(data: Any, with_penalty: bool) -> Tensor:
            # the same noise and dropout at every call: the finite difference compares losses of one draw
            self.controller.generator.set_state(noise)
            restore_random_state(dropout)
            probabilities = self.controller.sample(self.step)
            with self.axes.relaxed(probabilities):
                loss = self.loss(self.model, data)
            require_scalar(loss)
            if not with_penalty:
                return loss
            cost = self.cost.expectation(self.controller.believed(probabilities))
            expected = cost.value / self._full_cost
            parts.update(loss=loss.detach(), expected=expected.detach(), error=cost.standard_error)
            drawn.update({name: value.detach() for name, value in probabilities.items()})
            return loss + self.penalty(expected, current, self.largest).to(loss)

        parts: dict[str, Tensor] = {}
        drawn: dict[str, Tensor] = {}
        if self.settings.order == 1:
            loss = total(held_out_batch, True)
            gradients = list(torch.autograd.grad(loss, logits, allow_unused=True))
        else:
            gradients, loss = unrolled_gradients(
                lambda: total(batch, False),
                lambda: total(held_out_batch, True),
                self._weights,
                logits,
                self._optimizer.param_groups[0]["lr"],
            )
        require_finite(loss, "held-out loss", self.step)
        for logit, gradient in zip(logits, gradients, strict=True):
            logit.grad = torch.zeros_like(logit) if gradient is None else gradient.to(logit)
        norm = torch.nn.utils.clip_grad_norm_(logits, math.inf)
        require_finite_gradients(norm, " of the architecture parameters", self.step)
        self._architecture_optimizer.step()
        self._architecture_optimizer.zero_grad(set_to_none=True)
        self.controller.settle(before, drawn)
        if self.pruning is not None:
            self.pruning(self.controller, len(self._history) + 1, self.step, self._reaches_an_architecture)
        relative = float(parts["expected"])
        self.penalty.update(relative)
        self._history.append(
            {
                "step": self.step,
                "train_loss": train_loss,
                "held_out_loss": float(parts["loss"]),
                "temperature": self.controller.relaxation.temperature(self.step),
                "expected_cost": relative * self._full_cost,
                "expected_cost_error": float(parts["error"]),
                "penalty_weight": self.penalty.weight,
                "entropy": self.controller.entropy(),
                "probabilities": {n: p.tolist() for n, p in self.controller.probabilities().items()},
            }
        )

    @property
    def _full_cost(self) -> float:
        return float(self.cost(self.largest))

    def _hard(self) -> Any:
        """The architecture of the most probable options, whatever it costs."""
        return most_probable(self.space, self.controller.probabilities(), None, self.cost)

    def _reaches_an_architecture(self) -> bool:
        """Whether one within the budget has no pruned option."""
        arch = self._within_budget()
        indices, present = self.space.indices(arch), self.space.present(arch)
        return all(bool(self.controller.logits[name][indices[name]].isfinite()) for name in present)

    def _evaluate_now(self) -> None:
        arch = self._within_budget()
        metrics = self._metrics_of(arch)
        self._evaluated.append((arch, self.cost(arch), metrics))
        patience = self.settings.patience
        values = [m[self.metric] for _, _, m in self._evaluated]
        best = values.index(max(values) if self.maximise else min(values))
        self._stopped = patience is not None and len(values) - 1 - best >= patience

    def _within_budget(self) -> Any:
        return most_probable(self.space, self.controller.probabilities(), self.budget, self.cost)

    def _metrics_of(self, arch: Any) -> dict[str, float]:
        return evaluate_at(self.model, self.axes, arch, self._evaluate, self.metric)

    def _result(self) -> SearchResult:
        found_arch = self._within_budget()
        found = Candidate(found_arch, self.cost(found_arch), self._metrics_of(found_arch))
        during = [Candidate(arch, cost, metrics) for arch, cost, metrics in self._evaluated]
        count = self.settings.random_architectures or max(1, len(during))
        limit = None if self.budget is None else self.budget.limit
        # without a budget of its own, random search may spend what the found architecture costs
        budget = self.budget or Budget(found.cost, self.cost, "what was found")
        # the found one stands in where the walk meets nothing else
        drawn = draw_allowed(self.space, count, self.cost, budget.allows, self.settings.seed) or [found_arch]
        tried = [Candidate(arch, self.cost(arch), self._metrics_of(arch)) for arch in drawn]
        sign = 1.0 if self.maximise else -1.0
        return SearchResult(
            found=found,
            random=max(tried, key=lambda candidate: sign * candidate.metrics[self.metric]),
            random_tried=tuple(tried),
            pareto=pareto([found, *tried], self.metric, self.maximise),
            random_pareto=pareto(tried, self.metric, self.maximise),
            probabilities={name: p.tolist() for name, p in self.controller.probabilities().items()},
            history=self._history,
            warnings=self._warnings(found_arch),
            unit=self.cost.unit,
            limit=limit,
            seconds=self._seconds,
            steps=self.step,
        )

    def _warnings(self, found: Any) -> tuple[str, ...]:
        open_choices = {n: e for n, e in self.controller.entropy().items() if len(self.space.choices()[n]) > 1}
        lines = undecided_or_collapsed(self._history, open_choices, self.settings)
        hard = self._hard()
        if hard != found:
            lines.append(f"the most probable architecture, {hard!r}, is over the budget; {found!r} is within it")
        return tuple(lines)

    def _progress(self, loss: float, pace: float) -> Progress:
        last = self._history[-1]["expected_cost"] if self._history else self._full_cost
        metrics = self._evaluated[-1][2] if self._evaluated else {}
        left = pace * (self.settings.steps - self.step)
        return Progress(self.step, self.settings.steps, loss, metrics, last, left)

    def _adam(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=self.settings.weight_lr, fused=True)

    def _describe(self) -> dict[str, Any]:
        """What a checkpoint must agree with."""
        optimizer = {name: plain(value) for name, value in self._optimizer.defaults.items()}
        return {
            "space": {name: list(options) for name, options in self.space.choices().items()},
            "model": {name: list(value.shape) for name, value in self.model.state_dict().items()},
            "settings": self.settings.model_dump(exclude={"checkpoint_every"}),
            "budget": self.budget and self.budget.identity,
            "cost": type(self.cost).__name__,
            "metric": [self.metric, self.maximise],
            "relaxation": plain(self.controller.relaxation),
            "penalty": {k: v for k, v in plain(self.penalty).items() if k not in self.penalty.learned},
            "pruning": plain(self.pruning),
            "optimizer": {"kind": type(self._optimizer).__name__, **optimizer},
        }

    def _state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self._seconds,
            "stopped": self._stopped,
            "limit": self.budget and self.budget.limit,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "architecture_optimizer": self._architecture_optimizer.state_dict(),
            "controller": self.controller.state_dict(),
            "penalty": self.penalty.state_dict(),
            "train": self._train.state_dict(),
            "held_out": self._held_out.state_dict(),
            "history": self._history,
            "evaluated": [(arch.model_dump(mode="json"), cost, metrics) for arch, cost, metrics in self._evaluated],
            "random": random_state(),
        }

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self._seconds, self._stopped = state["step"], state["seconds"], state["stopped"]
        if self.budget is not None:  # a measured one would be another
            self.budget = replace(self.budget, limit=state.get("limit", self.budget.limit))
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._architecture_optimizer.load_state_dict(state["architecture_optimizer"])
        self.controller.load_state_dict(state["controller"])
        self.penalty.load_state_dict(state["penalty"])
        self._train.load_state_dict(state["train"])
        self._held_out.load_state_dict(state["held_out"])
        self._history = list(state["history"])
        self._evaluated = [(self.space.model_validate(a), cost, metrics) for a, cost, metrics in state["evaluated"]]
        restore_random_state(state["random"])
