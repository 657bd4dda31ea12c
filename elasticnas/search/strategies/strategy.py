"""Strategy: the interface of all search strategies."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ClassVar, TypeAlias

from elasticnas.calls import usage
from elasticnas.checkpoint import to_builtins
from elasticnas.errors import ConfigError
from elasticnas.run import Run
from elasticnas.search.arguments import require_kind, settings_or_default
from elasticnas.search.bilevel import BilevelSearcher
from elasticnas.search.penalty import NoPenalty, Penalty
from elasticnas.search.problem import Problem
from elasticnas.search.pruning import Pruning
from elasticnas.search.relaxation import Relaxation
from elasticnas.search.result import SearchResult
from elasticnas.search.settings import SearchSettings
from elasticnas.search.sharing import shared
from elasticnas.space.space import S

__all__ = ["GradientStrategy", "Strategy", "arguments"]


class Strategy(ABC):
    """A search strategy for supernets. Its own options are arguments of its constructor, all with defaults.

    ``elasticnas.testing.StrategyContract`` tests that a strategy satisfies the interface. An entry point of the group
    ``elasticnas.strategies`` registers one by its name.

    Attributes:
        name: Name in command lines and results.
    """

    name: ClassVar[str]

    @usage("DARTS().search(problem, settings): what is searched is given to search")
    def __init__(self) -> None:
        super().__init__()

    def __init_subclass__(cls, **further: Any) -> None:
        """Wrap ``search`` so that its result has the name of this strategy, also if it calls another one.

        A wrong argument of the constructor raises an error with all its options.
        """
        super().__init_subclass__(**further)
        if "__init__" in vars(cls):
            given = signature(cls).parameters.values()
            options = [f"{each.name}={each.default!r}" for each in given if each.default is not each.empty]
            cls.__init__ = usage(f"{cls.__name__}({', '.join(options)})")(cls.__init__)  # type: ignore[method-assign]
        if "search" in vars(cls):
            called = usage("strategy.search(problem, settings, run)")(cls.search)
            cls.search = _under_own_name(called)  # type: ignore[method-assign]

    @abstractmethod
    def search(
        self, problem: Problem[S], settings: "SearchSettings | None" = None, run: "Run | None" = None
    ) -> SearchResult[S]:
        """Search a problem.

        Args:
            problem: The problem.
            settings: Number of steps, learning rates, seed. ``steps`` are weight steps for every strategy.
            run: Saves and resumes the search; a resumed search gives the result of an uninterrupted one. It reports
                progress after every step and, in searches by evaluations, after every evaluation.

        Raises:
            BudgetError: No architecture meets the budgets; the message has the smallest reachable cost.
            CheckpointError: The run's checkpoint is damaged or belongs to another run.
            ConfigError: The problem lacks a part, or ``evaluate`` does not return a mapping from names to numbers with
                the metric.
            InactiveChoiceError: A choice changes nothing in the model.
            PluginError: An optional package that the strategy needs is not installed.
            SearchError: A loss or a gradient is not finite, all evaluations failed, the loss is not a differentiable
                scalar, an epoch has no batch, or the model has no weights to train or is not supported by the strategy.
        """


def arguments(strategy: Any, problem: Any, settings: Any, run: Any) -> tuple[SearchSettings, Run]:
    """Check the arguments of :meth:`Strategy.search`, and return settings and run with their defaults.

    Args:
        strategy: The strategy.
        problem: The problem.
        settings: The settings; None for the defaults.
        run: The run; None saves nothing.

    Raises:
        ConfigError: An argument has a wrong type.
    """
    require_kind(f"{strategy.name}.search", problem, Problem, "Problem(model, loss, train, held_out, costs)")
    return settings_or_default(f"{strategy.name}.search", settings, SearchSettings), Run.given(run)


Search: TypeAlias = Callable[..., SearchResult[Any]]


def _under_own_name(search: Search) -> Search:
    @wraps(search)
    def named(*given: Any, **further: Any) -> SearchResult[Any]:
        self = given[0] if given else None
        if not isinstance(self, Strategy):
            raise ConfigError("search was called on a class: make the strategy first, such as DARTS().search(problem)")
        result = search(*_sharing(given, further), **further)
        name = getattr(self, "name", result.strategy)  # a missing name must not lose the result of a long search
        return result if result.strategy == name else result.model_copy(update={"strategy": name})

    return named


def _sharing(given: tuple[Any, ...], further: dict[str, Any]) -> list[Any]:
    """Return the arguments of a search, with the problem's model wrapped as the run says."""
    positional = list(given)
    run = further.get("run", positional[3] if len(positional) > 3 else None)
    if isinstance(run, Run) and isinstance(further.get("problem"), Problem):
        further["problem"] = shared(further["problem"], run)
    elif isinstance(run, Run) and len(positional) > 1 and isinstance(positional[1], Problem):
        positional[1] = shared(positional[1], run)
    return positional


class GradientStrategy(Strategy):
    """A gradient-based strategy: subclasses define the relaxation, penalty and pruning."""

    @abstractmethod
    def relaxation(self, settings: SearchSettings) -> Relaxation:
        """Return a new relaxation for a search."""

    def penalty(self, problem: Problem) -> Penalty:
        """Return the penalty on the expected cost; by default none.

        Raises:
            ConfigError: The problem does not fit the strategy.
        """
        return NoPenalty()

    def pruning(self, settings: SearchSettings) -> "Pruning | None":
        """Return the pruning of options; by default None."""
        return None

    def search(
        self, problem: Problem[S], settings: "SearchSettings | None" = None, run: "Run | None" = None
    ) -> SearchResult[S]:
        """See :meth:`Strategy.search`."""
        settings, run = arguments(self, problem, settings, run)
        searcher = BilevelSearcher(
            problem,
            settings,
            relaxation=self.relaxation(settings),
            penalty=self.penalty(problem),
            pruning=self.pruning(settings),
            name=self.name,
            identity=to_builtins(self),  # not what is derived from the settings, such as a temperature: it may change
        )
        return searcher.run(run)
