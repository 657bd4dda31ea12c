"""Evolve: a Pareto front of a trained supernet by evaluations alone, random search beside it."""

import time
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from elasticnas.calls import usage
from elasticnas.cost import smallest_reachable
from elasticnas.errors import ConfigError, shown
from elasticnas.extraction import Sameness
from elasticnas.run import Progress, Run
from elasticnas.runtime import warn
from elasticnas.search.archive import Archive
from elasticnas.search.arguments import require_integer
from elasticnas.search.evaluation import Evaluator, evaluate_at
from elasticnas.search.evolution import nsga2, share
from elasticnas.search.limits import Limits, as_begun, begun, finite_cost
from elasticnas.search.local_search import local_search
from elasticnas.search.outcome import Outcome
from elasticnas.search.problem import Problem
from elasticnas.search.random_search import draws
from elasticnas.search.result import Candidate, SearchResult
from elasticnas.search.settings import SearchSettings
from elasticnas.search.storage import Stored, keep, kept_limits, open_study, require_optuna
from elasticnas.search.strategies.strategy import Strategy, arguments
from elasticnas.space.space import S

__all__ = ["Evolve"]

Method: TypeAlias = Literal["nsga2", "local", "random"]


class Evolve(Strategy):
    """Searches a trained supernet by evaluating sub-networks.

    The metric and every cost are objectives; a cost with a budget is a hard limit too: nothing over it is evaluated.
    Random search with as many evaluations under the same budgets comes with every result. Where a Latency predicts, the
    front is measured at the end. An evaluation that fails is recorded with its message, and the search goes on.

    Of the settings only the seed and ``retries`` count. The same seed gives the same search, an interrupted one that a
    Run continues included; with a ``storage``, NSGA-II goes on from the stored trials in its own way.

    Args:
        method: ``nsga2`` (Optuna), ``local`` (Pareto local search), or ``random``.
        trials: Evaluations of different networks.
        population: Random architectures to start from, and the size of a generation.
        storage: Shares the evaluations of ``nsga2`` and of random search between processes, each with a Run of its own
            or none: a path of a journal file, or a URL as Optuna takes it (SQLite shares nothing); ``local`` walks the
            same way in each. The same call continues; what others evaluate meanwhile changes the search.
        study: Name in the storage.

    Raises:
        ConfigError: A setting is wrong.

    Source: NSGA-II, Deb et al. 2002; Pareto local search, Paquete, Chiarandini and Stützle 2004.
    """

    name = "evolve"

    @usage("Evolve(method='nsga2', trials=100, population=20, storage=None, study='elasticnas')")
    def __init__(
        self,
        method: Method = "nsga2",
        trials: int = 100,
        population: int = 20,
        storage: "str | Path | None" = None,
        study: str = "elasticnas",
    ) -> None:
        if method not in ("nsga2", "local", "random"):
            raise ConfigError(f"method={shown(method)}: choose 'nsga2', 'local' or 'random'")
        require_integer("trials", trials, 1)
        require_integer("population", population, 2)
        if storage is not None and not isinstance(storage, (str, Path)):
            raise ConfigError(f"storage={shown(storage)}: a path or a URL is needed, such as 'runs/search.journal'")
        self.method, self.trials, self.population = method, trials, population
        self.storage, self.study = storage, study

    def search(
        self, problem: Problem[S], settings: "SearchSettings | None" = None, run: "Run | None" = None
    ) -> SearchResult[S]:
        """See :meth:`Strategy.search`; the model is trained already, and its weights stay as they are.

        Raises:
            CheckpointError: The storage cannot be opened, or holds another search.
        """
        settings, run = arguments(self, problem, settings, run)
        if self.method == "nsga2":
            require_optuna()
        with run:
            return _Evolution(self, problem, settings, run).result()


class _Evolution:
    """One search."""

    def __init__(self, strategy: Evolve, problem: Problem, settings: SearchSettings, run: Run) -> None:
        self.strategy, self.settings, self.run = strategy, settings, run
        self.axes = axes = problem.axes
        self.space = axes.space
        self.costs = problem.named_costs(strategy.name)
        self.metric, self.direction = problem.ranking
        evaluate = problem.evaluator(strategy.name, settings.seed)
        self.budgets = problem.limits()
        self.identity = problem.identity() | {
            "weights": _digest(problem.model),
            "costs": {name: cost.identity for name, cost in self.costs.items()},
            "budgets": {name: budget.identity for name, budget in self.budgets.items()},
            "seed": settings.seed,
            "method": strategy.method,
        }
        self.same = Sameness(problem.model).canonical
        self.evaluator = Evaluator(
            self.space,
            lambda arch: evaluate_at(problem.model, axes, arch, evaluate, self.metric, settings.seed),
            lambda arch: {name: finite_cost(cost, arch) for name, cost in self.costs.items()},
            settings.retries,
            self.same,
            self._keep,
        )
        self._walks: tuple[Any, Archive] | None = None  # where the walk of a local search is stored
        self._before, self._started = 0.0, time.perf_counter()
        state = run.load(self.identity)
        if state is not None:
            self.evaluator.load_state_dict(state["evaluations"])
            self.budgets = as_begun(self.budgets, state["limits"])
            self._before = state["seconds"]

    @property
    def seconds(self) -> float:
        """Of all sittings together."""
        return self._before + time.perf_counter() - self._started

    def result(self) -> SearchResult[Any]:
        strategy = self.strategy
        ours = self._search(strategy.method, strategy.trials, self._report)
        if not ours.candidates:
            raise self.evaluator.nothing() if ours.failed else ours.limits.not_together()
        seconds, random = self.seconds, strategy.method == "random"
        theirs = ours if random else self._search("random", len(ours.candidates), self._show)
        tried = list(ours.candidates.values())
        lines = [*self.run.changes, *_warnings(ours, theirs)]
        result = ours.outcome.result(
            ours.best(),
            tried,
            list(theirs.candidates.values()) or [ours.best()],
            tried=tuple(tried),
            warnings=lines,
            failures=tuple(self.evaluator.failures.values()),
            history=_history(ours),
            seconds=seconds,
            steps=len(tried),
        )
        for line in result.warnings[len(self.run.changes) :]:
            warn(line)
        return result

    def _search(self, method: Method, trials: int, shown: Any) -> Archive:
        strategy, study = self.strategy, None
        if method == "nsga2" or strategy.storage is not None:
            name = strategy.study if method == strategy.method else f"{strategy.study}-{method}"
            more = "maximize" if self.direction == "maximise" else "minimize"
            objectives = dict.fromkeys(self.costs, "minimize") | {
                f"metric {self.metric}" if self.metric in self.costs else self.metric: more
            }
            identity = {**self.identity, "method": method, "caller": self.run.identity}
            study = open_study(strategy.storage, name, objectives, identity)
            if strategy.storage is not None:
                self.budgets = kept_limits(study, self.budgets)  # a measured one would be another
        limits = Limits(self.budgets)
        largest = self.space.largest()
        outcome = Outcome(strategy.name, self.costs, self.budgets, self.metric, self.direction, largest)
        archive = Archive(self.evaluator, limits, outcome, trials, self.same, shown)
        drawn = draws(self.space, limits.excess, limits.allows, self.settings.seed, self.same)
        self._walks = None
        if study is not None and method == "local":  # it walks the same way again, and finds what is stored
            self.evaluator.remember(*Stored(study, self.space).new())
            self._walks = study, archive
        if method == "nsga2":
            nsga2(study, archive, self.space, drawn, strategy.population, self.settings.seed)
        elif study is not None and method == "random":
            share(study, archive, self.space, islice(drawn, trials))
        elif method == "random":
            for arch in islice(drawn, trials):
                archive.evaluate(arch)
        else:
            local_search(archive, self.space, drawn, strategy.population, self.settings.seed)
        return archive

    def _report(self, archive: Archive, candidate: "Candidate[Any] | None", left: float) -> None:
        figures = dict(candidate.metrics) if candidate is not None else {}
        if archive.candidates:
            figures["best"] = archive.best().metrics[self.metric]
        self.run.report(Progress("evaluate", archive.spent, archive.trials, figures, left))

    def _show(self, archive: Archive, candidate: "Candidate[Any] | None", left: float) -> None:
        """Random search is no progress of the search; only who looks sees it."""
        self.run.reporting.show(Progress("random search", archive.spent, archive.trials, {}, left))

    def _keep(self, evaluated: Any) -> None:
        """A line of metrics and a checkpoint for each evaluation: one may take minutes."""
        self.run.record(evaluated.model_dump(mode="json"))
        if self._walks is not None:
            study, archive = self._walks
            values = archive.objectives(evaluated) if isinstance(evaluated, Candidate) else None
            keep(study, self.space, evaluated, values)
        if self.run.folder is None:
            return
        state = {
            "evaluations": self.evaluator.state_dict(),
            "limits": begun(self.budgets),
            "seconds": self.seconds,
        }
        self.run.save(state, self.identity)


def _history(archive: Archive) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    best: Candidate[Any] | None = None
    for number, candidate in enumerate(archive.candidates.values(), 1):
        best = candidate if best is None else archive.outcome.best([best, candidate])
        metric = archive.outcome.metric
        figures = {"metric": candidate.metrics[metric], "best": best.metrics[metric]}
        records.append({"evaluated": number, "costs": candidate.costs, **figures})
    return records


def _warnings(ours: Archive, theirs: Archive) -> list[str]:
    lines = []
    if not ours.full:
        line = f"only {ours.spent} of {ours.trials} evaluations: nothing new is left within the budgets"
        for budget in ours.limits.budgets.values():
            arch, least = smallest_reachable(budget.cost)
            line += f"; the smallest reachable cost is {least:,.6g} {budget.cost.unit} with {arch!r}"
        lines.append(line)
    if ours.failed:
        lines.append(f"{len(ours.failed)} of {ours.spent} evaluations failed: see .failures")
    if theirs is not ours and theirs.failed:
        lines.append(f"{len(theirs.failed)} of {theirs.spent} evaluations of random search failed: see .failures")
    order = ours.outcome.order
    if theirs is not ours and theirs.candidates and order(theirs.best())[0] < order(ours.best())[0]:
        lines.append("random search found a better metric: give the search more trials, or take what it found")
    return lines


def _digest(model: nn.Module) -> str:
    """Of the names, types, shapes and values of parameters and buffers."""
    digest = sha256()
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
