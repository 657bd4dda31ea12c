"""RandomSearch: the best of random architectures, evaluated with a supernet."""

from elasticnas.run import Run
from elasticnas.search.problem import Problem
from elasticnas.search.result import SearchResult
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.evolve import Evolve
from elasticnas.search.strategies.one_shot import evaluations, train_then_evaluate
from elasticnas.search.strategies.strategy import Strategy, arguments
from elasticnas.space.space import S

__all__ = ["RandomSearch"]


class RandomSearch(Strategy):
    """Trains like SPOS, then returns the best of as many random architectures within the budgets as SPOS evaluates.

    It is the baseline of every search.

    Source: random search with shared weights: Li and Talwalkar, arXiv:1902.07638; the supernet's training: SPOS,
    arXiv:1904.00420.
    """

    name = "random"

    def search(
        self, problem: Problem[S], settings: "SearchSettings | None" = None, run: "Run | None" = None
    ) -> SearchResult[S]:
        """See :meth:`Strategy.search`."""
        settings, run = arguments(self, problem, settings, run)
        evolve = Evolve("random", evaluations(settings))
        return train_then_evaluate(self.name, problem, settings, run, evolve.trials, evolve.search)
