"""RecNAS: annealing, and pruning while it searches."""

from elasticnas.errors import ConfigError
from elasticnas.search.penalty import Fixed, Penalty
from elasticnas.search.problem import Problem
from elasticnas.search.pruning import Pruning
from elasticnas.search.relaxation import Relaxation, Temperature, Tempered
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.strategy import GradientStrategy

__all__ = ["RecNAS"]


class RecNAS(GradientStrategy):
    """The softmax over options is annealed, and options that fall behind are dropped from the choice for good.

    From the abstract, which alone is public: annealing forces the architecture parameters towards 0 and 1, inferior
    operations are pruned progressively, redundant channels by dynamic programming under the limit on resources.
    *Ours* is how: the temperature of all choices falls linearly from 1 to 0.01 over the search; after each of
    ``rounds`` equal parts of the architecture steps, options of any choice, channels or others, with a probability
    under ``threshold / options left`` at that temperature are dropped (:class:`elasticnas.search.Pruning`), without
    dynamic programming; the constraint is ``weight`` times the relative expected cost in the loss, and the budget when
    the architecture is chosen. The paper's groups of annealing and its search space are not here.

    Args:
        weight: Of the relative expected cost.
        threshold: Probability under which an option is dropped, relative to uniform.
        rounds: How often the search looks for such options.

    Raises:
        ConfigError: The weight is negative or not finite, the threshold not in [0, 1), or there are no rounds.

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
        """An annealed softmax."""
        return Tempered(Temperature.over(settings.steps))

    def penalty(self, problem: Problem) -> Penalty:
        """``weight`` times the relative expected cost."""
        return Fixed(self.weight)

    def pruning(self, settings: SearchSettings) -> Pruning:
        """After each of ``rounds`` equal parts of the architecture steps."""
        updates = max(1, settings.steps - settings.warmup_steps) // settings.update_every
        return Pruning(max(1, updates // self.rounds), self.threshold)
