"""DynamicConstraint: Gumbel-softmax with a penalty on the cost that grows with the depth."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from elasticnas.cost import Budget
from elasticnas.errors import ConfigError
from elasticnas.search.penalty import DualAscent, Dynamic, Fixed, NoPenalty, Penalty
from elasticnas.search.problem import Problem
from elasticnas.search.relaxation import Gumbel, Relaxation, Softmax, StraightThrough, Temperature, Tempered
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.strategy import GradientStrategy

__all__ = ["DynamicConstraint"]

RelaxationName: TypeAlias = Literal["gumbel", "tempered", "softmax", "straight-through"]
PenaltyName: TypeAlias = Literal["dynamic", "fixed", "dual", "none"]


class DynamicConstraint(GradientStrategy):
    """EASRec's search: an annealed Gumbel-softmax with a dynamic resource constraint.

    The temperature decreases linearly from 1 to 0.01 over the search (Table II, scaled to the length of the search).
    The expected cost is relative to the largest architecture's (the paper does not give the normalisation).

    Args:
        weight: lambda.
        depth: The field with the number of layers; None for a space without one: L_t / L is then 1.
        relaxation: Gumbel-softmax (Eq. 10), tempered softmax (the authors' code), softmax, or straight-through.
        temperature: ``scaled`` to the length of the search, or the ``literal`` schedule of Table II.
        penalty: The dynamic constraint (Eq. 15 and 16), a fixed weight, dual ascent to the budget, or none.

    Raises:
        ConfigError: The weight is negative or not finite, or one of the names is unknown.

    Source: EASRec, arXiv:2402.00390v1, Eq. 10 to 17 and Algorithm 1.
    """

    name = "dynamic-constraint"

    def __init__(
        self,
        weight: float = 0.1,
        depth: "str | None" = "depth",
        relaxation: RelaxationName = "gumbel",
        temperature: Literal["scaled", "literal"] = "scaled",
        penalty: PenaltyName = "dynamic",
    ) -> None:
        self.weight, self.depth = Fixed(weight).weight, depth
        self._relaxation = _one_of("relaxation", relaxation, ("gumbel", "tempered", "softmax", "straight-through"))
        self._temperature = _one_of("temperature", temperature, ("scaled", "literal"))
        self._penalty = _one_of("penalty", penalty, ("dynamic", "fixed", "dual", "none"))

    def relaxation(self, settings: SearchSettings) -> Relaxation:
        """Return the relaxation that was chosen."""
        if self._relaxation == "softmax":
            return Softmax()
        schedule = Temperature() if self._temperature == "literal" else Temperature.over(settings.steps)
        kinds: dict[str, Callable[[Temperature], Relaxation]] = {
            "gumbel": Gumbel,
            "tempered": Tempered,
            "straight-through": StraightThrough,
        }
        return kinds[self._relaxation](schedule)

    def penalty(self, problem: Problem) -> Penalty:
        """Return the penalty that was chosen.

        Raises:
            ConfigError: The space does not have the field for the dynamic penalty.
        """
        if self._penalty == "dual":
            return DualAscent(_relative_limit(problem))
        if self._penalty == "none":
            return NoPenalty()
        if self._penalty == "fixed" or self.depth is None:
            return Fixed(self.weight)
        space = problem.axes.space
        if not hasattr(space.largest(), self.depth):
            raise ConfigError(
                f"{type(self).__name__}(depth={self.depth!r}): {space.__name__} has no such field; name the one that "
                "holds the number of layers, or give depth=None"
            )
        return Dynamic(self.weight, self.depth)


def _relative_limit(problem: Problem) -> float:
    """Return the budget of the first cost as a fraction of the largest architecture's cost."""
    name, cost = next(iter(problem.named_costs("the dual penalty").items()))
    largest = cost(cost.space.largest())
    given = (problem.budgets or {}).get(name)
    return 1.0 if given is None else min(1.0, Budget.parse(given, cost).limit / largest)


def _one_of(name: str, given: str, known: tuple[str, ...]) -> str:
    if given not in known:
        raise ConfigError(f"{name}={given!r}: choose one of {', '.join(known)}")
    return given
