"""SPOS: a supernet trained by single paths, then evolution."""

from typing import get_args

from elasticnas.errors import ConfigError, short_repr
from elasticnas.run import Run
from elasticnas.search.problem import Problem
from elasticnas.search.result import SearchResult
from elasticnas.search.settings import SearchSettings
from elasticnas.search.storage import require_optuna
from elasticnas.search.strategies.evolve import Evolve
from elasticnas.search.strategies.one_shot import Rule, evaluations, train_then_evaluate
from elasticnas.search.strategies.strategy import Strategy, arguments
from elasticnas.space.space import S

__all__ = ["SPOS"]


class SPOS(Strategy):
    """Trains one uniformly drawn architecture per weight step; evolution then evaluates with the shared weights.

    Evolution and random search each evaluate as many architectures as :func:`evaluations` returns, all within the
    budgets. Evolution is NSGA-II over costs and metric and needs ``pip install 'elasticnas[evolve]'``. *Ours*: the
    paper's evolution keeps the most accurate architectures under constraints on the cost.

    Args:
        population: Size of a generation; at most a quarter of the evaluations.
        rule: Architectures of a training step: ``single`` as in the paper, two ``random`` ones, or the ``sandwich`` of
            the largest, the smallest and two random ones (arXiv:1903.05134), which takes four passes.

    Raises:
        ConfigError: The population is below 2, or the rule is unknown.

    Source: Guo et al., Single Path One-Shot NAS, arXiv:1904.00420: uniform path sampling, evolutionary search.
    """

    name = "spos"

    def __init__(self, population: int = 50, rule: Rule = "single") -> None:
        self.population = Evolve(population=population).population
        if rule not in get_args(Rule):
            raise ConfigError(f"rule={short_repr(rule)}: choose 'single', 'random' or 'sandwich'")
        self.rule = rule

    def search(
        self, problem: Problem[S], settings: "SearchSettings | None" = None, run: "Run | None" = None
    ) -> SearchResult[S]:
        """See :meth:`Strategy.search`; raises PluginError if Optuna is not installed."""
        settings, run = arguments(self, problem, settings, run)
        require_optuna()
        trials = evaluations(settings)
        evolve = Evolve("nsga2", trials, max(2, min(self.population, trials // 4)))
        return train_then_evaluate(self.name, problem, settings, run, trials, evolve.search, rule=self.rule)
