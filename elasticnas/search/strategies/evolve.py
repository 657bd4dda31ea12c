"""Evolve: search a trained supernet by evaluations, for a Pareto front."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from elasticnas.calls import usage
from elasticnas.cost import smallest_reachable
from elasticnas.errors import ConfigError, short_repr
from elasticnas.parallel import refuse
from elasticnas.run import Progress, Run
from elasticnas.runtime import warn
from elasticnas.search.archive import Archive
from elasticnas.search.arguments import require_integer
from elasticnas.search.evolution import nsga2, share
from elasticnas.search.local_search import local_search
from elasticnas.search.problem import Problem
from elasticnas.search.random_search import draws
from elasticnas.search.result import Candidate, SearchResult
from elasticnas.search.saved_evaluations import SavedEvaluations
from elasticnas.search.settings import SearchSettings
from elasticnas.search.storage import (
    Stored,
    add_trial,
    open_study,
    require_optuna,
    require_storage,
    stored_limits,
)
from elasticnas.search.strategies.strategy import Strategy, arguments
from elasticnas.search.trials import Trials
from elasticnas.search.workers import Workers
from elasticnas.space.space import S

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["Evolve"]

Method: TypeAlias = Literal["nsga2", "local", "random"]


class Evolve(Strategy):
    """Searches a trained supernet by evaluating sub-networks.

    The metric and all costs are objectives. A budget is a hard limit too: no architecture over it is evaluated. The
    result includes a random search with as many evaluations within the same budgets. If a Latency predicts, the front
    is measured at the end. A failed evaluation is recorded, and the search continues.

    Only the seed and ``retries`` of the settings are used. The same seed gives the same search, also if a Run resumes
    it. With a ``storage``, NSGA-II continues from the stored trials, and its course may differ.

    Args:
        method: ``nsga2`` (Optuna), ``local`` (Pareto local search), or ``random``.
        trials: Number of different networks to evaluate.
        population: Number of random architectures at the start, and the size of a generation.
        storage: Where processes share the evaluations of ``nsga2`` and of random search: a path of a journal file, a
            URL for Optuna or a storage of Optuna (not SQLite, which does not allow concurrent writers). Each process
            has its own Run or none; ``local`` is the same search in each process. The same call resumes the search;
            evaluations of other processes in between change its course. If a process dies, another evaluates its
            architecture; a storage of Optuna needs a ``heartbeat_interval`` for this.
        study: Name of the study in the storage.

    Raises:
        ConfigError: An argument is out of its range.

    Source: NSGA-II, Deb et al. 2002; Pareto local search, Paquete, Chiarandini and Stützle 2004.
    """

    name = "evolve"

    @usage("Evolve(method='nsga2', trials=100, population=20, storage=None, study='elasticnas')")
    def __init__(
        self,
        method: Method = "nsga2",
        trials: int = 100,
        population: int = 20,
        storage: "str | Path | BaseStorage | None" = None,
        study: str = "elasticnas",
    ) -> None:
        if method not in ("nsga2", "local", "random"):
            raise ConfigError(f"method={short_repr(method)}: choose 'nsga2', 'local' or 'random'")
        require_integer("trials", trials, 1)
        require_integer("population", population, 2)
        require_storage(storage)
        self.method, self.trials, self.population = method, trials, population
        self.storage, self.study = storage, study

    def search(
        self, problem: Problem[S], settings: "SearchSettings | None" = None, run: "Run | None" = None
    ) -> SearchResult[S]:
        """See :meth:`Strategy.search`; the model must be trained already, and its weights do not change.

        Raises:
            CheckpointError: The storage cannot be opened, or holds another search.
            PluginError: Optuna or the driver of the database is not installed.
        """
        settings, run = arguments(self, problem, settings, run)
        if self.storage is not None:
            refuse("Evolve with a storage", "leave storage out, or start it without torchrun")
        if self.method == "nsga2":
            require_optuna()
        with run:
            return _Evolution(self, problem, settings, run).result()


class _Evolution:
    """One call of :meth:`Evolve.search`."""

    def __init__(self, strategy: Evolve, problem: Problem, settings: SearchSettings, run: Run) -> None:
        self.strategy, self.settings, self.run = strategy, settings, run
        self.saved = SavedEvaluations(
            strategy.name, problem, settings, run, {"method": strategy.method}, self._share_local
        )
        self._local_study: tuple[Any, Archive] | None = None  # study and archive of a stored local search

    def result(self) -> SearchResult[Any]:
        strategy = self.strategy
        ours = self._search(strategy.method, strategy.trials, self._report)
        if not ours.candidates:
            raise self.saved.evaluator.all_failed_error() if ours.failed else ours.limits.joint_budget_error()
        seconds, random = self.saved.seconds, strategy.method == "random"
        theirs = ours if random else self._search("random", len(ours.candidates), self._show)
        tried = list(ours.candidates.values())
        lines = [*self.run.changes, *_warnings(ours, theirs)]
        result = ours.outcome.result(
            ours.best(),
            tried,
            list(theirs.candidates.values()) or [ours.best()],
            tried=tuple(tried),
            warnings=lines,
            failures=tuple(self.saved.evaluator.failures.values()),
            history=ours.history(),
            seconds=seconds,
            steps=len(tried),
        )
        for line in result.warnings[len(self.run.changes) :]:
            warn(line)
        return result

    def _search(self, method: Method, trials: int, shown: Any) -> Archive:
        strategy, saved, study = self.strategy, self.saved, None
        if method == "nsga2" or strategy.storage is not None:
            name = strategy.study if method == strategy.method else f"{strategy.study}-{method}"
            more = "maximize" if saved.direction == "maximise" else "minimize"
            objectives = dict.fromkeys(saved.costs, "minimize") | {
                f"metric {saved.metric}" if saved.metric in saved.costs else saved.metric: more
            }
            identity = {**saved.identity, "method": method, "caller": self.run.identity}
            study = open_study(strategy.storage, name, objectives, identity)
            if strategy.storage is not None:
                saved.budgets = stored_limits(study, saved.budgets)  # the limit of a measured cost may differ
        limits = saved.limits
        archive = Archive(saved.evaluator, limits, saved.outcome(), trials, saved.same, shown)
        drawn = draws(saved.space, limits.excess, limits.allows, self.settings.seed, saved.same)
        self._local_study = None
        if study is not None and method == "local":  # it is deterministic and finds its evaluations in the storage
            saved.evaluator.remember(*Stored(study, saved.space).new())
            self._local_study = study, archive
        if method == "nsga2":
            nsga2(self._trials(study, archive), drawn, strategy.population, self.settings.seed)
        elif study is not None and method == "random":
            share(self._trials(study, archive), islice(drawn, trials))
        elif method == "random":
            for arch in islice(drawn, trials):
                archive.evaluate(arch)
        else:
            local_search(archive, saved.space, drawn, strategy.population, self.settings.seed)
        return archive

    def _trials(self, study: Any, archive: Archive) -> Trials:
        workers = Workers(study, self.strategy.storage)
        if study.study_name == self.strategy.study:
            workers.warn_if_blind()
        return Trials(study, archive, self.saved.space, workers)

    def _report(self, archive: Archive, candidate: "Candidate[Any] | None", left: float) -> None:
        figures = dict(candidate.metrics) if candidate is not None else {}
        if archive.candidates:
            figures["best"] = archive.best().metrics[self.saved.metric]
        self.run.report(Progress("evaluate", archive.spent, archive.trials, figures, left))

    def _show(self, archive: Archive, candidate: "Candidate[Any] | None", left: float) -> None:
        """Show random search on the bar only: it does not count as progress of the search."""
        self.run.reporting.show(Progress("random search", archive.spent, archive.trials, {}, left))

    def _share_local(self, evaluated: Any) -> None:
        """Write an evaluation of a stored local search to its study."""
        if self._local_study is not None:
            study, archive = self._local_study
            values = archive.objectives(evaluated) if isinstance(evaluated, Candidate) else None
            add_trial(study, self.saved.space, evaluated, values)


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
