"""by_evaluations: what the strategies that train a supernet first and then evaluate share."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from elasticnas.cost import Budget
from elasticnas.extraction import axes_of
from elasticnas.search.archive import EvolveProgress, require_optuna
from elasticnas.search.bilevel import Progress
from elasticnas.search.evaluation import mean_loss
from elasticnas.search.evolve import evolve
from elasticnas.search.kept_evaluations import KeptEvaluations
from elasticnas.search.result import SearchResult
from elasticnas.search.settings import SearchSettings, TrainerSettings
from elasticnas.search.strategies.problem import Problem
from elasticnas.search.strategies.strategy import identified
from elasticnas.search.supernet_trainer import SupernetTrainer, TrainerProgress

__all__ = ["by_evaluations", "evaluations"]


def evaluations(settings: SearchSettings) -> int:
    """Architectures that a search by evaluations evaluates: at least as many as one by gradients does.

    ``random_architectures``, or one every ``evaluate_every`` steps and one at the end, whichever is more.
    """
    during = settings.steps // settings.evaluate_every if settings.evaluate_every is not None else 0
    return max(settings.random_architectures or 1, during + 1)


def by_evaluations(
    name: str,
    problem: Problem,
    settings: SearchSettings,
    method: Literal["nsga2", "random"],
    population: int = 2,
    *,
    checkpoint: Path | None,
    resume: bool,
    identity: Mapping[str, Any] | None,
    progress: Callable[[Progress], None] | None,
) -> SearchResult:
    """Train by single paths, then search by evaluations with the shared weights, as the strategy of a name.

    Of the settings, those of architecture steps and ``patience`` have no meaning here. The training has a checkpoint of
    its own; evaluations are kept in a file beside it, and a resumed search walks the same way again over what is known,
    but that a relative budget of a measured cost is measured anew.
    """
    if method == "nsga2":
        require_optuna()
    if problem.budget is not None:
        Budget.parse(problem.budget, problem.cost)  # an impossible one is told before the training
    who = identified(name, identity)
    trials = evaluations(settings)
    report = _Report(settings.steps, trials, float(problem.cost(problem.cost.space.largest())), progress)
    trainer = SupernetTrainer(
        problem.model,
        problem.loss,
        problem.train,
        TrainerSettings(
            steps=settings.steps,
            rule="single",
            weight_lr=settings.weight_lr,
            clip_norm=settings.clip_norm,
            checkpoint_every=settings.checkpoint_every,
            seed=settings.seed,
        ),
    )
    trained = trainer.run(checkpoint, resume, who, report.trained)
    axes = axes_of(problem.model)
    kept = KeptEvaluations(
        problem.evaluate or mean_loss(problem.loss, problem.held_out),
        problem.metric,
        axes,
        None if checkpoint is None else Path(f"{checkpoint}.evaluations"),
        {
            "space": {field: list(options) for field, options in axes.space.choices().items()},
            "training": trainer.settings.model_dump(exclude={"checkpoint_every"}),
            **who,
        },
        resume,
    )
    found = evolve(
        problem.model,
        kept,
        problem.cost,
        metric=problem.metric,
        maximise=problem.maximise,
        method=method,
        trials=trials,
        population=population,
        budgets=problem.budget,
        seed=settings.seed,
        progress=report.evaluated,
    )
    return replace(found, steps=trained.steps, seconds=trained.seconds + found.seconds)


class _Report:
    """One progress over both parts: weight steps, then evaluations."""

    def __init__(self, steps: int, trials: int, cost: float, progress: Callable[[Progress], None] | None) -> None:
        self._steps, self._all, self._cost, self._progress = steps, steps + trials, cost, progress
        self._loss = float("nan")

    def trained(self, at: TrainerProgress) -> None:
        self._loss = at.loss
        if self._progress is not None:
            self._progress(Progress(at.step, self._all, at.loss, {}, self._cost, at.seconds_left))

    def evaluated(self, at: EvolveProgress) -> None:
        if self._progress is not None:
            step = self._steps + at.evaluated
            self._progress(Progress(step, self._all, self._loss, at.metrics, self._cost, at.seconds_left))
