"""One-shot search: train a supernet by single paths, then evaluate architectures with the shared weights."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from elasticnas.parallel import prepared
from elasticnas.run import Run
from elasticnas.search.problem import Problem
from elasticnas.search.result import SearchResult
from elasticnas.search.settings import SearchSettings, TrainerSettings
from elasticnas.search.supernet_trainer import SupernetTrainer
from elasticnas.space.space import S

__all__ = ["Rule", "evaluations", "train_then_evaluate"]

Rule: TypeAlias = Literal["single", "random", "sandwich"]


def evaluations(settings: SearchSettings) -> int:
    """Return the number of architectures that a search evaluates: at least as many as a gradient-based search does.

    It is ``random_architectures``, or one every ``evaluate_every`` steps and one at the end, whichever is more.
    """
    during = settings.steps // settings.evaluate_every if settings.evaluate_every is not None else 0
    return max(settings.random_architectures or 1, during + 1)


def train_then_evaluate(
    name: str,
    problem: Problem[S],
    settings: SearchSettings,
    run: Run,
    trials: int,
    search: Callable[[Problem[S], SearchSettings, Run], SearchResult[S]],
    fixed: bool = True,
    rule: Rule = "single",
) -> SearchResult[S]:
    """Train by single paths or another rule, then search with the shared weights.

    Settings of architecture steps and ``patience`` are not used.

    Args:
        name: Name of the strategy.
        problem: The problem.
        settings: Settings of training and search.
        run: Saves and resumes both parts.
        trials: The number of evaluations of the search.
        search: The search after the training.
        fixed: Whether ``trials`` is exact; if not, the search reports its steps together with those of the training.
        rule: Architectures of a training step, see :class:`TrainerSettings`.
    """
    prepared(problem.model, name)  # refuses before anything is written
    problem.limits()  # raises for an impossible budget before the training
    problem.evaluator(name, settings.seed)
    problem.named_costs(name)
    steps = settings.steps + trials
    given = settings.model_dump(include={"steps", "weight_lr", "clip_norm", "accumulate", "checkpoint_every", "seed"})
    trainer = SupernetTrainer(problem, TrainerSettings(rule=rule, distillation_weight=0.0, **given))
    with run:
        if run.load({"strategy": name}) is None:  # so that another strategy does not resume from these parts
            run.save({}, {"strategy": name})
        trained = trainer.run(run.part("training", steps=steps))
        found = search(problem, settings, run.part("evaluations", settings.steps, steps if fixed else 0))
    warnings = tuple(dict.fromkeys([*trained.warnings, *found.warnings]))
    changes = {"strategy": name, "steps": trained.steps, "seconds": trained.seconds + found.seconds}
    return found.model_copy(update=changes | {"warnings": warnings})
