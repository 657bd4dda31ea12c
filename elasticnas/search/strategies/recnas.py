"""RecNAS: annealed softmax with pruning during the search."""

from elasticnas.errors import ConfigError
from elasticnas.search.penalty import Fixed, Penalty
from elasticnas.search.problem import Problem
from elasticnas.search.pruning import Pruning
from elasticnas.search.relaxation import Relaxation, Temperature, Tempered
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.strategy import GradientStrategy

__all__ = ["RecNAS"]


class RecNAS(GradientStrategy):
    """Anneals the softmax over options, and permanently drops options with a low probability.

    From the abstract, as only that is public: annealing forces the architecture parameters towards 0 and 1; inferior
    operations are pruned progressively, and redundant channels by dynamic programming under the resource limit.

    *Ours*: The temperature decreases linearly from 1 to 0.01 over the search. After each of ``rounds`` equal parts of
    the architecture steps, options of any choice with a probability below ``threshold / remaining options`` at that
    temperature are dropped (:class:`elasticnas.search.Pruning`), without dynamic programming. The constraint is a
    penalty of ``weight`` times the relative expected cost, and the budget when the architecture is chosen. The paper's
    annealing groups and search space are not implemented.

    Args:
        weight: Weight of the relative expected cost.
        threshold: Probability, relative to uniform, below which an option is dropped.
        rounds: Number of prunings.

    Raises:
        ConfigError: The weight is negative or not finite, the threshold is not in [0, 1), or ``rounds`` is below 1.

    Source: Peng et al., ReCNAS: Resource-Constrained Neural Architecture Search Based on Differentiable Annealing and
    Dynamic Pruning, IEEE TNNLS 35(2), 2024 (online 2022), doi:10.1109/TNNLS.2022.3192169, abstract.
    """

    name = "recnas"

    def __init__(self, weight: float = 0.1, threshold: float = 0.5, rounds: int = 10) -> None:
        self.weight, self.threshold, self.rounds = Fixed(weight).weight, threshold, rounds
        if rounds < 1 or not 0 <= threshold < 1:
            raise ConfigError(
                f"RecNAS(threshold={threshold}, rounds={rounds}): rounds >= 1 and 0 <= threshold < 1 are needed"
            )

    def relaxation(self, settings: SearchSettings) -> Relaxation:
        """Return an annealed softmax."""
        return Tempered(Temperature.over(settings.steps))

    def penalty(self, problem: Problem) -> Penalty:
        """Return ``weight`` times the relative expected cost."""
        return Fixed(self.weight)

    def pruning(self, settings: SearchSettings) -> Pruning:
        """Return the pruning after each of ``rounds`` equal parts of the architecture steps."""
        updates = max(1, settings.steps - settings.warmup_steps) // settings.update_every
        return Pruning(max(1, updates // self.rounds), self.threshold)
