"""SavedEvaluations: the evaluations of a search of a trained supernet, each saved in its Run as it is made."""

import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.extraction import Sameness
from elasticnas.parallel import full_state_dict, prepared, require_same, unwrapped
from elasticnas.run import Run
from elasticnas.search.evaluation import Evaluator, evaluate_at
from elasticnas.search.limits import Limits, finite_cost, limits_to_save, restore_limits
from elasticnas.search.outcome import Outcome
from elasticnas.search.problem import Problem
from elasticnas.search.settings import SearchSettings
from elasticnas.search.sharing import refuse_measured

__all__ = ["SavedEvaluations"]


class SavedEvaluations:
    """Evaluates architectures of a trained supernet; a resumed run repeats no evaluation.

    Args:
        name: Name of the strategy.
        problem: The problem.
        settings: The seed and ``retries`` are used.
        run: Saves and resumes.
        identity: Plain data that a checkpoint must match, besides problem, weights, costs, budgets and seed.
        keep: Called after each evaluation with its candidate or failure, before it is saved.

    Attributes:
        space: The space.
        costs: The costs by name.
        budgets: The budgets by the name of their cost; those of the checkpoint for percentages of measured costs.
        metric: The metric that ranks architectures.
        direction: Whether it is maximised or minimised.
        identity: All that a checkpoint must match.
        same: Returns the canonical architecture of the network of an architecture.
        evaluator: Evaluates, and holds what is known.
    """

    def __init__(
        self,
        name: str,
        problem: Problem,
        settings: SearchSettings,
        run: Run,
        identity: Mapping[str, Any],
        keep: Callable[[Any], None] = lambda evaluated: None,
    ) -> None:
        axes = problem.axes
        self._name, self._run, self._keep_too = name, run, keep
        self.space = axes.space
        self.costs = problem.named_costs(name)
        refuse_measured(name, self.costs)
        model = unwrapped(prepared(problem.model, name))
        self.metric, self.direction = problem.ranking
        evaluate = problem.evaluator(name, settings.seed)
        self.budgets = problem.limits()
        self.identity = problem.identity() | {
            "weights": _digest(model),
            "costs": {name: cost.identity for name, cost in self.costs.items()},
            "budgets": {name: budget.identity for name, budget in self.budgets.items()},
            "seed": settings.seed,
            **identity,
        }
        self.same = Sameness(model).canonical
        self.evaluator = Evaluator(
            self.space,
            lambda arch: evaluate_at(model, axes, arch, evaluate, self.metric, settings.seed),
            lambda arch: {name: finite_cost(cost, arch) for name, cost in self.costs.items()},
            settings.retries,
            self.same,
            self._keep,
        )
        self._before, self._started = 0.0, time.perf_counter()
        require_same("model, settings or data", self.identity)
        state = run.load(self.identity)
        if state is not None:
            with run.restoring():
                self.evaluator.load_state_dict(state["evaluations"])
                self.budgets = restore_limits(self.budgets, state["limits"])
                self._before = float(state["seconds"])

    @property
    def seconds(self) -> float:
        """Total time, interrupted runs included."""
        return self._before + time.perf_counter() - self._started

    @property
    def limits(self) -> Limits:
        """The budgets."""
        return Limits(self.budgets)

    def outcome(self) -> Outcome:
        """Return what orders candidates and makes the result."""
        largest = self.space.largest()
        return Outcome(self._name, self.costs, self.budgets, self.metric, self.direction, largest)

    def _keep(self, evaluated: Any) -> None:
        """Write a line of metrics and a checkpoint after each evaluation, as one may take minutes."""
        self._run.record(evaluated.model_dump(mode="json"))
        self._keep_too(evaluated)
        if self._run.folder is None:
            return
        state = {
            "evaluations": self.evaluator.state_dict(),
            "limits": limits_to_save(self.budgets),
            "seconds": self.seconds,
        }
        self._run.save(state, self.identity)


def _digest(model: nn.Module) -> str:
    """Return a digest of names, types, shapes and values of parameters and buffers."""
    digest = sha256()
    for name, value in full_state_dict(model).items():
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
