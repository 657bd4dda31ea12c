"""BilevelSearcher: train weights on training batches and architecture parameters on held-out batches."""

from collections.abc import Mapping
from typing import Any, Generic

import torch
from torch import Tensor

from elasticnas.checkpoint import to_builtins
from elasticnas.cost import Budget, most_probable
from elasticnas.elastic import ElasticModel
from elasticnas.errors import ConfigError, SearchError
from elasticnas.extraction import Sameness
from elasticnas.parallel import Whole, average, mean, prepared, refuse, require_same, unwrapped
from elasticnas.run import BatchStream, PlainState, Run, Stateful, drive
from elasticnas.runtime import random_state, restore_random_state, warn
from elasticnas.search.architecture_loss import relaxed_loss, sampled_loss
from elasticnas.search.arguments import require_kind, settings_or_default
from elasticnas.search.collapse import undecided_or_collapsed
from elasticnas.search.controller import Controller
from elasticnas.search.descent import Descent, MakeOptimizer, require_finite
from elasticnas.search.evaluation import Evaluator, evaluate_at, with_metrics
from elasticnas.search.health import Jumps, exhausted
from elasticnas.search.limits import Limits, limits_to_save, restore_limits
from elasticnas.search.outcome import Outcome
from elasticnas.search.penalty import NoPenalty, Penalty
from elasticnas.search.problem import Problem
from elasticnas.search.pruning import Pruning
from elasticnas.search.random_search import draw_allowed
from elasticnas.search.relaxation import Relaxation, Softmax
from elasticnas.search.result import Candidate, SearchResult, restore
from elasticnas.search.second_order import unrolled_gradients
from elasticnas.search.settings import SearchSettings
from elasticnas.search.shared_loss import SharedLoss
from elasticnas.search.sharing import refuse_measured, shared
from elasticnas.space.space import A

__all__ = ["BilevelSearcher"]


class BilevelSearcher(Generic[A]):
    """Gradient-based architecture search: the engine of every :class:`GradientStrategy`.

    Every step trains the weights on a training batch with the relaxed architecture. Every ``update_every`` steps, the
    architecture parameters take a step on a held-out batch, with a penalty on the expected cost. The result has the
    most probable architecture within the budgets, and the best one of a random search over the same supernet within
    the same budgets.

    Args:
        problem: The problem, with loss, train, held_out and costs; the penalty is on the first cost.
        settings: Numbers of steps, learning rates, seed.
        relaxation: Maps logits to probabilities; None for :class:`Softmax`.
        penalty: Penalty on the expected cost; None for none.
        pruning: Drops options during the search; None drops none.
        optimizer: Makes the optimizer of the weights; None for Adam.
        name: Name of the strategy in the result.
        identity: Plain data that identifies relaxation, penalty and pruning in the checkpoint; None derives it.

    Raises:
        InactiveChoiceError: A choice changes nothing in the model.
        BudgetError: No architecture meets a budget.
        ConfigError: The problem lacks a part, or ``order=2`` does not fit the relaxation or the weights.
        SearchError: The model is made by ``elastify`` and the relaxation mixes sizes, or there are no weights to train.

    Source: DARTS, arXiv:1806.09055; EASRec, arXiv:2402.00390v1, Eq. 10-17 and Algorithm 1.
    """

    def __init__(
        self,
        problem: Problem[A],
        settings: "SearchSettings | None" = None,
        *,
        relaxation: "Relaxation | None" = None,
        penalty: "Penalty | None" = None,
        pruning: "Pruning | None" = None,
        optimizer: "MakeOptimizer | None" = None,
        name: str = "bilevel",
        identity: "Mapping[str, object] | None" = None,
    ) -> None:
        require_kind("BilevelSearcher", problem, Problem, "Problem(model, loss, train, held_out, costs)")
        self.problem, self.name = problem, name
        self.settings = settings_or_default("BilevelSearcher", settings, SearchSettings)
        self.penalty, self.pruning, relaxation = penalty or NoPenalty(), pruning, relaxation or Softmax()
        problem.require(name, "loss", "train", "held_out")
        self.costs = problem.named_costs(name)
        self.cost = next(iter(self.costs.values()))
        _require_mixable(problem, relaxation)
        self._given: dict[str, Any] = {"relaxation": relaxation, "penalty": penalty, "pruning": pruning}
        self._given |= {"optimizer": optimizer, "name": name, "identity": identity}
        self.model = problem.model
        # without DDP's hooks, which wait for gradients of the weights
        self._inner = unwrapped(self.model)
        if relaxation.sampled and self.settings.order == 2:
            raise ConfigError(f"order=2 follows the weights through a mixture, and {name} samples: order=1 is needed")
        weights = problem.weights()
        narrow = next((w.dtype for w in weights if w.dtype in (torch.bfloat16, torch.float16)), None)
        if self.settings.order == 2 and narrow is not None:
            raise ConfigError(
                f"order=2 takes small differences, which {narrow} rounds away: order=1, or float32 weights"
            )
        self.axes = problem.axes
        self.space = self.axes.space
        self.largest = self.space.largest()
        self._budgets = problem.limits()
        self.metric, self.direction = problem.ranking
        evaluate, seed = problem.evaluator(name, self.settings.seed), self.settings.seed
        assert problem.loss is not None and problem.train is not None and problem.held_out is not None
        self.loss = SharedLoss(problem.loss)
        self._train = BatchStream(problem.train, "train", seed)
        self._held_out = BatchStream(problem.held_out, "held_out", seed)
        self.controller = Controller(self.space, relaxation, weights[0].device, seed)
        self._descent = Descent(weights, self.settings.weight_lr, self.settings.clip_norm, optimizer)
        rate = self.settings.architecture_lr
        self._architecture = Descent(
            self.controller.parameters(), rate, None, lambda logits: torch.optim.Adam(logits, rate, betas=(0.5, 0.999))
        )
        self._same = Sameness(self._inner).canonical
        self._evaluator = Evaluator(
            self.space,
            lambda arch: evaluate_at(self._inner, self.axes, arch, evaluate, self.metric, seed),
            lambda arch: {name: cost(arch) for name, cost in self.costs.items()},
            self.settings.retries,
            self._same,
        )
        self._jumps = Jumps()
        self.identity = problem.identity() | {
            "settings": self.settings.model_dump(exclude={"checkpoint_every"}),
            "budgets": {name: budget.identity for name, budget in self._budgets.items()},
            "costs": {name: cost.identity for name, cost in self.costs.items()},
            "optimizer": self._descent.identity,
            "search": dict(identity) if identity is not None else self._description(),
        }
        self._kept, self.step = PlainState(history=[], evaluated=[], limits=limits_to_save(self._budgets)), 0

    def run(self, run: "Run | None" = None) -> SearchResult[A]:
        """Run the search.

        Args:
            run: Saves and resumes the search; None saves nothing.

        Raises:
            CheckpointError: The run's checkpoint is damaged or belongs to another run.
            SearchError: A loss or a gradient is not finite, or the loss is not a differentiable scalar; the last
                checkpoint is kept.
            ConfigError: ``evaluate`` does not return a mapping with the metric.
        """
        run = Run.given(run)
        problem = shared(self.problem, run)
        if problem is not self.problem:  # FSDP2 has replaced the weights
            return BilevelSearcher(problem, self.settings, **self._given).run(run)
        self._prepare()
        with run:
            seconds = drive(self, run, "search", self.settings.checkpoint_every)
            result = self._result(seconds, run)
        for line in result.warnings[len(self._jumps.warnings) + len(run.changes) :]:
            warn(line)
        return result

    def _prepare(self) -> None:
        """Refuse what would differ between processes, or from one process."""
        if self.settings.order == 2:
            refuse(f"{self.name} with order=2", "use order=1")
        refuse_measured(self.name, self.costs)
        self._descent.require_current(self.problem.weights(), self.name)
        self.model = prepared(self.model, self.name)

    @property
    def steps(self) -> int:
        """Number of weight steps; patience may end the search earlier."""
        return self.settings.steps

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        values = [evaluated["metrics"][self.metric] for evaluated in self._kept["evaluated"]]
        return self.step >= self.steps or exhausted(values, self.settings.patience, self.direction)

    @property
    def budgets(self) -> dict[str, Budget]:
        """The budgets, with the limits from the start of the search."""
        return restore_limits(self._budgets, self._kept["limits"])

    def advance(self) -> dict[str, float]:
        """Take one weight step, and the architecture step and evaluation that are due after it."""
        settings, descent = self.settings, self._descent
        self.model.train()
        descent.begin()
        scope, losses = self._weight_scope(), []
        for _ in range(settings.accumulate):
            batch = self._train.next()
            with scope():
                loss = self.loss(self.model, batch)
            losses.append(descent.add(loss, settings.accumulate, "training loss", self.step))
        descent.finish(self.step, " of the weights")
        figures = {"loss": sum(losses) / len(losses)}
        if self.step >= settings.warmup_steps and self.step % settings.update_every == 0:
            self._architecture_step(batch, figures["loss"])
        self.step += 1
        self._jumps.see(figures["loss"], self.step)
        if settings.evaluate_every is not None and self.step % settings.evaluate_every == 0:
            self._evaluator.forget()
            candidate = self._evaluator(self._within_budgets())
            if candidate is not None:
                self._kept["evaluated"].append(candidate.model_dump(mode="json"))
        if self._kept["history"]:
            figures["expected_cost"] = self._kept["history"][-1]["expected_cost"]
        return with_metrics(figures, self._kept["evaluated"][-1]["metrics"]) if self._kept["evaluated"] else figures

    def _weight_scope(self) -> Any:
        """Return a function that makes the scope of a weight step: of one architecture, or of probabilities."""
        drawn = self.controller.path(self.step)
        require_same("the architecture parameters", lambda: [p.tolist() for p in drawn.values()])
        if self.controller.relaxation.one_hot:
            arch = self.controller.likeliest(drawn)
            return lambda: self.axes.at(arch)
        fixed = {name: value.detach() for name, value in drawn.items()}
        return lambda: self.axes.relaxed(fixed)

    def _architecture_step(self, batch: Any, train_loss: float) -> None:
        logits = self.controller.parameters()
        before = [value.detach().clone() for value in logits]
        gradients, parts, drawn = self._architecture_gradients(batch)
        for logit, gradient in zip(logits, gradients, strict=True):
            logit.grad = gradient.to(logit)
        self._architecture.finish(self.step, " of the architecture parameters")
        self._architecture.begin()
        self.controller.after_step(before, drawn)
        if self.pruning is not None:
            self.pruning(self.controller, len(self._kept["history"]) + 1, self.step, self._has_unpruned_architecture)
        self.penalty.update(parts["expected"])
        self._kept["history"].append(
            {
                "step": self.step,
                "train_loss": train_loss,
                "held_out_loss": parts["loss"],
                "temperature": self.controller.relaxation.temperature(self.step),
                "expected_cost": parts["expected"] * self._full_cost,
                "expected_cost_error": parts["error"],
                "penalty_weight": self.penalty.weight,
                "entropy": self.controller.entropy(),
                "probabilities": {n: p.tolist() for n, p in self.controller.probabilities().items()},
            }
        )

    def _architecture_gradients(self, batch: Any) -> "tuple[list[Tensor], dict[str, float], dict[str, Tensor]]":
        """Return the gradients of loss and penalty, the values of loss and expected cost, and the probabilities."""
        logits, current = self.controller.parameters(), self._most_probable()
        noise = self.controller.generator.get_state()
        parts: dict[str, float] = {}
        drawn: dict[str, Tensor] = {}
        loss_of = sampled_loss if self.controller.relaxation.sampled else relaxed_loss

        def total(data: Any, with_penalty: bool) -> Tensor:
            # the same noise at every call: the finite difference needs losses of the same draw
            self.controller.generator.set_state(noise)
            loss, probabilities = loss_of(self.controller, self.axes, lambda: self.loss(self._inner, data), self.step)
            if not with_penalty:
                return loss
            cost = self.cost.expectation(self.controller.cost_probabilities(probabilities))
            expected = cost.value / self._full_cost
            parts.update(loss=float(mean(loss)), expected=float(expected.detach()), error=float(cost.standard_error))
            drawn.update({name: value.detach() for name, value in probabilities.items()})
            return loss + self.penalty(expected, current, self.largest).to(loss)

        if self.settings.order == 2:
            held_out, dropout = self._held_out.next(), random_state()

            def reproducible(data: Any, with_penalty: bool) -> Tensor:
                restore_random_state(dropout)
                return total(data, with_penalty)

            rate = self._descent.optimizer.param_groups[0]["lr"]
            gradients, loss = unrolled_gradients(
                lambda: reproducible(batch, False),
                lambda: reproducible(held_out, True),
                self._descent.weights,
                logits,
                rate,
            )
            require_finite(loss, "held-out loss", self.step)
            return gradients, parts, drawn
        count, losses = self.settings.accumulate, []
        sums = [torch.zeros_like(logit) for logit in logits]
        for _ in range(count):
            loss = total(self._held_out.next(), True)
            require_finite(mean(loss), "held-out loss", self.step)
            losses.append(parts["loss"])
            for one, gradient in zip(sums, torch.autograd.grad(loss, logits, allow_unused=True), strict=True):
                if gradient is not None:
                    one += gradient / count
        average(sums)
        return sums, parts | {"loss": sum(losses) / count}, drawn

    @property
    def _full_cost(self) -> float:
        return float(self.cost(self.largest))

    def _most_probable(self) -> Any:
        """Return the most probable architecture, regardless of budgets."""
        return most_probable(self.space, self.controller.probabilities(), cost=self.cost)

    def _within_budgets(self) -> Any:
        budgets = list(self.budgets.values())
        return most_probable(self.space, self.controller.probabilities(), budgets, self.cost)

    def _has_unpruned_architecture(self) -> bool:
        """Return whether the most probable architecture within the budgets has no pruned option."""
        arch = self._within_budgets()
        indices, present = self.space.indices(arch), self.space.present(arch)
        return all(bool(self.controller.logits[name][indices[name]].isfinite()) for name in present)

    def _result(self, seconds: float, run: Run) -> SearchResult[A]:
        self._evaluator.forget()
        chosen = self._within_budgets()
        require_same("the found architectures", chosen)
        found = self._evaluator(chosen)
        count = self.settings.random_architectures or max(1, len(self._kept["evaluated"]))
        # without budgets, the cost of the found architecture is the limit of the random search
        limits = Limits(self.budgets or {"": Budget(self.cost(chosen), self.cost, "what was found")})
        # use the found one if random search draws nothing
        drawn = draw_allowed(self.space, count, limits.excess, limits.allows, self.settings.seed, self._same) or [
            chosen
        ]
        seen = run.reporting.watched("random search", drawn)
        tried = [candidate for candidate in map(self._evaluator, seen) if candidate is not None]
        if not tried and found is None:
            raise self._evaluator.all_failed_error()
        outcome = Outcome(self.name, self.costs, self.budgets, self.metric, self.direction, self.largest)
        tried = tried or [found]  # type: ignore[list-item]
        lines = [*run.changes, *self._jumps.warnings, *self._warnings(chosen)]
        if found is None:
            found = outcome.best(tried)
            lines.append(f"{chosen!r}, the most probable, could not be evaluated: the best of the others is taken")
        return outcome.result(
            found,
            [found, *tried],
            tried,
            validated=tuple(restore(Candidate[Any], each, self.space) for each in self._kept["evaluated"]),
            warnings=lines,
            failures=tuple(self._evaluator.failures.values()),
            probabilities={name: p.tolist() for name, p in self.controller.probabilities().items()},
            history=self._kept["history"],
            seconds=seconds,
            steps=self.step,
        )

    def _warnings(self, found: Any) -> list[str]:
        open_choices = {n: e for n, e in self.controller.entropy().items() if len(self.space.choices()[n]) > 1}
        lines = undecided_or_collapsed(self._kept["history"], open_choices, self.settings)
        likeliest = self._most_probable()
        if likeliest != found:
            lines.append(f"the most probable architecture, {likeliest!r}, is over the budget; {found!r} is within it")
        return lines

    def _description(self) -> dict[str, Any]:
        penalty = {k: v for k, v in to_builtins(self.penalty).items() if k not in self.penalty.learned}
        return {
            "relaxation": to_builtins(self.controller.relaxation),
            "penalty": penalty,
            "pruning": to_builtins(self.pruning),
        }

    def parts(self) -> dict[str, Stateful]:
        """Return the objects whose state a checkpoint saves."""
        return {
            "model": Whole(self.model),
            "weights": self._descent,
            "architecture": self._architecture,
            "controller": self.controller,
            "penalty": self.penalty,
            "train": self._train,
            "held_out": self._held_out,
            "jumps": self._jumps,
            "evaluations": self._evaluator,
            "kept": self._kept,
        }


def _require_mixable(problem: Problem, relaxation: Relaxation) -> None:
    model = problem.model
    if not relaxation.sampled and any(isinstance(part, ElasticModel) for part in model.modules()):
        raise SearchError(
            f"{type(model).__name__} is made by elastify and runs sliced, and {type(relaxation).__name__} mixes "
            "sizes: use Reinforce, SPOS, RandomSearch or Evolve, or build the model of elasticnas.nn parts"
        )
