"""evolve: a Pareto front of any supernet by evaluations alone, random search beside it."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from elasticnas.checkpoint import plain
from elasticnas.cost import Budget, Cost, Latency, LatencyReport
from elasticnas.errors import BudgetError, ConfigError
from elasticnas.extraction import axes_of, check
from elasticnas.search.archive import KEY, Archive, EvolveProgress, kept_limits, open_study, require_optuna, stored
from elasticnas.search.evaluation import Evaluate, evaluate_at
from elasticnas.search.evolution import nsga2, share
from elasticnas.search.local_search import local_search
from elasticnas.search.random_search import draws
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
    identity: "Mapping[str, Any] | None" = None,
    seed: int = 0,
    progress: Callable[[EvolveProgress], None] | None = None,
) -> SearchResult:
    """Search a trained supernet by evaluating sub-networks.

    The metric and every cost are objectives; a cost with a budget is a hard limit too: nothing over it is evaluated.
    Random search with as many evaluations under the same budgets comes with every result. Where a Latency predicts, the
    front is measured at the end.

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
            on where an interrupted one stopped. Several processes share the evaluations of ``nsga2`` and of random
            search (not through SQLite); ``local`` walks the same way in each.
        study: Name in the storage.
        identity: Further plain data that a storage must agree with, such as a fingerprint of the data that
            ``evaluate`` uses; the supernet's weights, the costs and the settings are among it anyway.
        seed: The same seed gives the same search, but for what an interruption of ``nsga2`` or other processes
            change.
        progress: Called after each evaluation of the search.

    Returns:
        The result; ``pareto`` is over what the method evaluated, ``random_pareto`` over random search.

    Raises:
        BudgetError: No architecture meets a budget, or all of them together.
        ConfigError: A setting is wrong, ``identity`` has a name of evolve's own, or ``evaluate`` gives no mapping with
            the metric.
        SearchError: A metric or a cost is not finite; what was evaluated stays in the storage.
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

    own = _identity(model, every, limits, metric, maximise, seed)
    if taken := own.keys() & (identity or {}).keys():
        raise ConfigError(f"identity: {min(taken)!r} is a name of evolve's own; give yours another")
    who = None if storage is None else own | dict(identity or {})

    def search(how: Method, count: int, known: dict[Any, Candidate], shown: Any) -> Archive:
        chosen: Any = None
        if how == "nsga2" or who is not None:
            name = study if how == method else f"{study}-{how}"
            chosen = open_study(storage, name, len(every) + 1, {**(who or {}), "method": how})
            limits[:] = kept_limits(chosen, limits)  # a measured one would be another
        archive = Archive(metrics_of, every, limits, metric, maximise, count, known, shown)
        drawn = draws(space, archive.excess, archive.allows, seed)
        if how == "nsga2":
            nsga2(chosen, archive, space, drawn, population, seed)
        elif how == "local":
            if chosen is not None:  # it walks the same way again, and finds what is stored
                archive.remember(stored(chosen, space), _keeper(chosen, space, archive))
            local_search(archive, space, drawn, population, seed)
        elif chosen is not None:
            share(chosen, archive, space, islice(drawn, count))
        else:
            for arch in islice(drawn, count):
                archive.evaluate(arch)
        if not archive.candidates:
            raise BudgetError(
                f"no architecture was found within {' and '.join(map(str, limits))}: each budget can be met, but not "
                "all of them together; raise one"
            )
        return archive

    if method == "nsga2":
        require_optuna()
    ours = search(method, trials, {}, progress)
    theirs = ours if method == "random" else search("random", len(ours.candidates), ours.candidates, None)
    return _result(ours, theirs)


def _result(ours: Archive, theirs: Archive) -> SearchResult:
    front = pareto(list(ours.candidates.values()), ours.metric, ours.maximise)
    reports = _measured(ours.costs, [ours.best(), *front])
    first = next((budget.limit for budget in ours.budgets if budget.cost is ours.costs[0]), None)
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
        pareto=front,
        random_pareto=pareto(drawn, ours.metric, ours.maximise),
        history=history,
        warnings=(*_warnings(ours, theirs), *_over_budget(ours, reports)),
        unit=ours.costs[0].unit,
        limit=first,
        seconds=ours.seconds,
        steps=len(tried),
        tried=tried,
        latency=tuple(reports.values()),
    )


def _measured(costs: Sequence[Cost], candidates: Sequence[Candidate]) -> dict[Latency, LatencyReport]:
    """Of every Latency that has predicted any of the candidates: these measured."""
    archs = list(dict.fromkeys(candidate.architecture for candidate in candidates))
    reports = {cost: cost.verify(archs) for cost in costs if isinstance(cost, Latency)}
    return {cost: report for cost, report in reports.items() if report.rows}


def _over_budget(ours: Archive, reports: Mapping[Latency, LatencyReport]) -> list[str]:
    """Predictions that met a budget which the measurement does not."""
    lines = []
    for budget in ours.budgets:
        rows = reports[budget.cost].rows if isinstance(budget.cost, Latency) and budget.cost in reports else ()
        over = [row for row in rows if row[2] > budget.limit]
        if over:
            arch, predicted, actual = max(over, key=lambda row: (row[0] == ours.best().architecture, row[2]))
            lines.append(
                f"{len(over)} of {len(rows)} architectures of the front are over the budget of {budget} when measured: "
                f"{arch!r} was predicted at {predicted:.3g} {budget.cost.unit} and takes {actual:.3g}"
            )
    return lines


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
    model: nn.Module, costs: Sequence[Cost], limits: Sequence[Budget], metric: str, maximise: bool, seed: int
) -> dict[str, Any]:
    return {
        "space": {name: list(options) for name, options in axes_of(model).space.choices().items()},
        "weights": _digest(model),
        "costs": [_described(cost) for cost in costs],
        "limits": [limit.identity for limit in limits],
        "metric": [metric, maximise],
        "seed": seed,
    }


def _digest(model: nn.Module) -> str:
    """Of the names, types, shapes and values of parameters and buffers."""
    digest = sha256()
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _described(cost: Cost) -> dict[str, Any]:
    """Its class, the shapes of its example, and its settings."""
    leaves = tree_leaves(cost.example)
    example = [f"{leaf.dtype} {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else plain(leaf) for leaf in leaves]
    simple = (bool, int, float, str, torch.device)
    public = {name: value for name, value in vars(cost).items() if name[0] != "_" and isinstance(value, simple)}
    settings = {name: str(value) if isinstance(value, torch.device) else value for name, value in public.items()}
    return {"kind": type(cost).__qualname__, "example": example, **settings}


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
