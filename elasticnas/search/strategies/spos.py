"""SPOS: a supernet trained by single paths, then evolution."""

from elasticnas.run import Run
from elasticnas.search.problem import Problem
from elasticnas.search.result import SearchResult
from elasticnas.search.settings import SearchSettings
from elasticnas.search.storage import require_optuna
from elasticnas.search.strategies.evolve import Evolve
from elasticnas.search.strategies.one_shot import evaluations, train_then_evaluate
from elasticnas.search.strategies.strategy import Strategy, arguments
from elasticnas.space.space import S

__all__ = ["SPOS"]


class SPOS(Strategy):
    """Every weight step runs one architecture, drawn uniformly; evolution then evaluates with the shared weights.

    As many architectures are evaluated as :func:`evaluations` says, none over the budget, and as many at random beside.
    Evolution is NSGA-II over costs and metric (ours; the paper's keeps the best by accuracy under constraints on the
    cost) and needs ``pip install 'elasticnas[evolve]'``.

    Args:
        population: Of a generation; a quarter of the evaluations where that is less, so that there are generations.

    Raises:
        ConfigError: The population is under 2.

    Source: Guo et al., Single Path One-Shot NAS, arXiv:1904.00420: uniform path sampling, evolutionary search.
    """

    name = "spos"

    def __init__(self, population: int = 50) -> None:
        self.population = Evolve(population=population).population

    def search(
        self, problem: Problem[S], settings: "SearchSettings | None" = None, run: "Run | None" = None
    ) -> SearchResult[S]:
        """See :meth:`Strategy.search`; PluginError where Optuna is not installed."""
        settings, run = arguments(self, problem, settings, run)
        require_optuna()
        trials = evaluations(settings)
        evolve = Evolve("nsga2", trials, max(2, min(self.population, trials // 4)))
        return train_then_evaluate(self.name, problem, settings, run, evolve)
