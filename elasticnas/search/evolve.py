"""evolve: a Pareto front of any supernet by evaluations alone, random search beside it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from elasticnas.cost import Budget, Cost
from elasticnas.errors import ConfigError
from elasticnas.extraction import axes_of, check
from elasticnas.search.archive import KEY, Archive, EvolveProgress, open_study, require_optuna, stored
from elasticnas.search.evaluation import Evaluate, evaluate_at
from elasticnas.search.evolution import nsga2, sampler
from elasticnas.search.local_search import local_search
from elasticnas.search.random_search import draw_allowed
from elasticnas.search.result import Candidate, SearchResult, pareto

__all__ = ["evolve"]

Method = Literal["nsga2", "local", "random"]


def evolve(
    model: nn.Module,
    evaluate: Evaluate,
    costs: "Cost | Sequence[Cost]",
    *,
    metric: str,
    maximise: bool = True,
    method: Method = "nsga2",
    trials: int = 100,
    population: int = 20,
    budgets: "str | float | Sequence[str | float | None] | None" = None,
    storage: "str | Path | None" = None,
    study: str = "elasticnas",
    seed: int = 0,
    progress: Callable[[EvolveProgress], None] | None = None,
) -> SearchResult:
    """Search a trained supernet by evaluating sub-networks.

    The metric and every cost are objectives; a cost with a budget is a hard limit too: nothing over it is evaluated.
    Random search with as many evaluations under the same budgets comes with every result.

    Args:
        model: The supernet, with weights that serve its sub-networks (:class:`SupernetTrainer`).
        evaluate: ``evaluate(model) -> {"metric": value}``, called with an architecture in scope, in eval mode, without
            gradients.
        costs: Of architectures; the first orders the front.
        metric: Of those that ``evaluate`` gives, the one to optimise.
        maximise: Whether more is better.
        method: ``nsga2`` (Optuna), ``local`` (Pareto local search), or ``random``.
        trials: Evaluations of different architectures.
        population: Random architectures to start from, and the size of a generation.
        budgets: For each cost ``"50%"`` of the largest architecture's, a number, or None; a single one is of the
            first cost.
        storage: Where evaluations are kept: a path of a journal file, or a URL as Optuna takes it. The same call goes
            on where an interrupted one stopped; several processes can share one ``nsga2`` (not through SQLite).
        study: Name in the storage.
        seed: The same seed gives the same search, but for what an interruption of ``nsga2`` changes.
        progress: Called after each evaluation of the search.

    Returns:
        The result; ``pareto`` is over what the method evaluated, ``random_pareto`` over random search.

    Raises:
        BudgetError: No architecture meets a budget.
        SearchError: ``evaluate`` gives NaN; what was evaluated stays in the storage.
        CheckpointError: The storage cannot be opened, or holds another search.
        PluginError: Optuna is needed and not installed.
    """
    if method not in ("nsga2", "local", "random"):
        raise ConfigError(f"method={method!r}: choose 'nsga2', 'local' or 'random'")
    if trials < 1 or population < 2:
        raise ConfigError(f"trials={trials}, population={population}: trials >= 1 and population >= 2 are needed")
    axes = axes_of(model)
    check(model, axes)
    space = axes.space
    every = [costs] if isinstance(costs, Cost) else list(costs)
    if not every:
        raise ConfigError("costs: give at least one, such as Flops(model, example)")
    limits = _budgets(budgets, every)

    def metrics_of(arch: Any) -> dict[str, float]:
        return evaluate_at(model, axes, arch, evaluate, metric)

    def search(how: Method, count: int, known: dict[Any, Candidate], shown: Any) -> Archive:
        archive = Archive(metrics_of, every, limits, metric, maximise, count, known, shown)
        chosen: Any = None
        if how == "nsga2" or storage is not None:
            identity = _identity(space, how, every, limits, metric, maximise, seed)
            name = study if how == method else f"{study}-{how}"
            chosen = open_study(storage, name, len(every) + 1, identity)
        if how == "nsga2":
            archive.add(*stored(chosen, space))
            # a new seed after an interruption: the stored trials have used up the first one
            chosen.sampler = sampler(population, seed + len(archive.candidates))
            nsga2(chosen, archive, space, population, seed)
            return archive
        if chosen is not None:  # these walk the same way again, and find what is stored
            archive.remember(stored(chosen, space), _keeper(chosen, space, archive))
        if how == "local":
            local_search(archive, space, population, seed)
        else:
            for arch in draw_allowed(space, count, every[0], archive.allows, seed):
                archive.evaluate(arch)
        return archive

    if method == "nsga2":
        require_optuna()
    ours = search(method, trials, {}, progress)
    theirs = ours if method == "random" else search("random", len(ours.candidates), ours.candidates, None)
    return _result(ours, theirs, every[0].unit, limits[0].limit if limits and limits[0].cost is every[0] else None)


def _result(ours: Archive, theirs: Archive, unit: str, limit: float | None) -> SearchResult:
    tried, drawn = tuple(ours.candidates.values()), tuple(theirs.candidates.values())
    history: list[dict[str, Any]] = []
    for number, candidate in enumerate(tried, 1):
        value = candidate.metrics[ours.metric]
        best = history[-1]["best"] if history else value
        history.append(
            {
                "evaluated": number,
                "cost": candidate.cost,
                "metric": value,
                "best": max(best, value) if ours.maximise else min(best, value),
            }
        )
    return SearchResult(
        found=ours.best(),
        random=theirs.best(),
        random_tried=drawn,
        pareto=pareto(tried, ours.metric, ours.maximise),
        random_pareto=pareto(drawn, ours.metric, ours.maximise),
        history=history,
        warnings=_warnings(ours, theirs),
        unit=unit,
        limit=limit,
        seconds=ours.seconds,
        steps=len(tried),
        tried=tried,
    )


def _warnings(ours: Archive, theirs: Archive) -> tuple[str, ...]:
    lines = []
    if not ours.full:
        lines.append(
            f"only {len(ours.candidates)} of {ours.trials} evaluations: nothing new is left within the budgets"
        )
    if theirs is not ours and ours.objectives(theirs.best())[-1] < ours.objectives(ours.best())[-1]:
        lines.append("random search found a better metric: give the search more trials, or take what it found")
    return tuple(lines)


def _budgets(given: Any, costs: Sequence[Cost]) -> list[Budget]:
    each = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(each) > len(costs):
        raise ConfigError(f"budgets={given!r}: {len(each)} for {len(costs)} costs; give one each, None for no limit")
    return [Budget.parse(limit, cost) for limit, cost in zip(each, costs, strict=False) if limit is not None]


def _identity(
    space: Any, how: str, costs: Sequence[Cost], limits: Sequence[Budget], metric: str, maximise: bool, seed: int
) -> dict[str, Any]:
    return {
        "space": {name: list(options) for name, options in space.choices().items()},
        "method": how,
        "costs": [type(cost).__name__ for cost in costs],
        "limits": [limit.limit for limit in limits],
        "metric": [metric, maximise],
        "seed": seed,
    }


def _keeper(study: Any, space: Any, archive: Archive) -> Callable[[Candidate], None]:
    import optuna

    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        choice.name: optuna.distributions.CategoricalDistribution(range(len(choice.options)))
        for choice in space.choice_list()
    }

    def keep(candidate: Candidate) -> None:
        study.add_trial(
            optuna.trial.create_trial(
                params=space.indices(candidate.architecture),
                distributions=distributions,
                values=archive.objectives(candidate),
                user_attrs={KEY: candidate.to_dict()},
            )
        )

    return keep
