"""Limits: all budgets of a problem together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from elasticnas.cost import Budget, Cost
from elasticnas.cost.budget import jointly_smallest, not_together
from elasticnas.errors import BudgetError, SearchError

__all__ = ["Limits", "as_begun", "begun", "finite_cost"]


class Limits:
    """Hard budgets by the name of their cost.

    Attributes:
        budgets: By name.
    """

    def __init__(self, budgets: Mapping[str, Budget]) -> None:
        self.budgets = dict(budgets)

    def allows(self, arch: Any) -> bool:
        """Whether an architecture meets every budget.

        Raises:
            SearchError: A cost is not finite.
        """
        for budget in self.budgets.values():
            finite_cost(budget.cost, arch)
            if not budget.allows(arch):
                return False
        return True

    def violations(self, arch: Any) -> list[float]:
        """How far an architecture is over each budget, as a share of it; negative within it.

        Raises:
            SearchError: A cost is not finite.
        """
        return [finite_cost(budget.cost, arch) / budget.limit - 1.0 for budget in self.budgets.values()]

    def excess(self, arch: Any) -> float:
        """How far an architecture is over its budgets in all, 0 where it is within them."""
        return sum(max(0.0, violation) for violation in self.violations(arch))

    def not_together(self) -> BudgetError:
        """The error of budgets that can each be met, but not all together."""
        budgets = list(self.budgets.values())
        return not_together(budgets, jointly_smallest(budgets)[0])


def begun(budgets: Mapping[str, Budget]) -> dict[str, list[Any]]:
    """Text and limit of each budget, for a checkpoint."""
    return {name: [budget.text, budget.limit] for name, budget in budgets.items()}


def as_begun(budgets: Mapping[str, Budget], kept: Mapping[str, Sequence[Any]]) -> dict[str, Budget]:
    """Budgets with the limits that a search began with: a share of a measured cost would be another now.

    Args:
        budgets: As they are given now.
        kept: What :func:`begun` gave at the beginning; a budget that is given otherwise since has its new limit.
    """
    same = {name for name, budget in budgets.items() if name in kept and kept[name][0] == budget.text}
    return {name: replace(b, limit=kept[name][1]) if name in same else b for name, b in budgets.items()}


def finite_cost(cost: Cost, arch: Any) -> float:
    """A cost of an architecture.

    Raises:
        SearchError: It is not finite.
    """
    value = cost(arch)
    if not abs(value) < float("inf"):
        raise SearchError(f"{type(cost).__name__} gives {value} {cost.unit} for {arch!r}: a cost is a finite number")
    return value
