"""Strategy: the one interface of every way to search."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
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
from elasticnas.space.space import S

__all__ = ["GradientStrategy", "Strategy", "arguments"]


class Strategy(ABC):
    """A way to search a supernet. What is its own is given to its constructor, and every such value has a default.

    ``elasticnas.testing.StrategyContract`` checks what every strategy promises. An entry point of the group
    ``elasticnas.strategies`` makes one known by its name.

    Attributes:
        name: For command lines and results.
    """

    name: ClassVar[str]

    @usage("DARTS().search(problem, settings): what is searched is given to search")
    def __init__(self) -> None:
        super().__init__()

    def __init_subclass__(cls, **further: Any) -> None:
        """A result bears the name of the strategy that was asked for, whatever that one is composed of."""
        super().__init_subclass__(**further)
        if "search" in vars(cls):
            cls.search = _under_own_name(cls.search)  # type: ignore[method-assign]

    @abstractmethod
    def search(
        self, problem: Problem[S], settings: "SearchSettings | None" = None, run: "Run | None" = None
    ) -> SearchResult[S]:
        """Search.

        Args:
            problem: What is searched.
            settings: Lengths, rates, seed. ``steps`` are weight steps with every strategy.
            run: Where it is kept, and how it goes on after an interruption: to the result of the uninterrupted run.
                Progress comes after every step, and after every evaluation of a search by evaluations.

        Raises:
            BudgetError: No architecture meets the budgets; names the smallest cost that can be reached.
            CheckpointError: The run's checkpoint is damaged or belongs to another run.
            ConfigError: The problem lacks a part, or ``evaluate`` gives no mapping from names to numbers with the
                metric.
            InactiveChoiceError: A choice reaches nothing in the model.
            PluginError: An optional package that the strategy needs is not installed.
            SearchError: A loss or a gradient is not finite, all evaluations failed, the loss is no scalar with a
                gradient, an epoch has no batch, the model has no weights to train or is of a kind that the strategy
                does not search.
        """


def arguments(strategy: Any, problem: Any, settings: Any, run: Any) -> tuple[SearchSettings, Run]:
    """Settings and run of a search, with their defaults.

    Args:
        strategy: That of the method.
        problem: As the method was given it; likewise the others.
        settings: None for the defaults.
        run: None keeps nothing.

    Raises:
        ConfigError: One of them is something else; or the method was called on the class.
    """
    if not isinstance(strategy, Strategy):
        raise ConfigError("search was called on a class: make the strategy first, such as DARTS().search(problem)")
    require_kind(f"{strategy.name}.search", problem, Problem, "Problem(model, loss, train, held_out, costs)")
    return settings_or_default(f"{strategy.name}.search", settings, SearchSettings), Run.given(run)


Search: TypeAlias = Callable[..., SearchResult[Any]]


def _under_own_name(search: Search) -> Search:
    @wraps(search)
    def named(self: Strategy, *given: Any, **further: Any) -> SearchResult[Any]:
        result = search(self, *given, **further)
        name = getattr(self, "name", result.strategy)  # a long search is not lost for want of a name
        return result if result.strategy == name else result.model_copy(update={"strategy": name})

    return named


class GradientStrategy(Strategy):
    """A strategy whose architecture parameters follow gradients: it says its relaxation, penalty and pruning."""

    @abstractmethod
    def relaxation(self, settings: SearchSettings) -> Relaxation:
        """From logits to probabilities, made anew for each search."""

    def penalty(self, problem: Problem) -> Penalty:
        """On the expected cost; none where not overridden.

        Raises:
            ConfigError: The problem does not fit the strategy.
        """
        return NoPenalty()

    def pruning(self, settings: SearchSettings) -> "Pruning | None":
        """Drops options during the search; None, which keeps all, where not overridden."""
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
            identity=to_builtins(self),  # what follows from the settings, such as a temperature, may change with them
        )
        return searcher.run(run)
