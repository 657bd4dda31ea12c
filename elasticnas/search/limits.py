"""Limits: all budgets of a problem."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from elasticnas.cost import Budget, Cost
from elasticnas.cost.budget import joint_budget_error, jointly_smallest
from elasticnas.errors import BudgetError, SearchError

__all__ = ["Limits", "finite_cost", "limits_to_save", "restore_limits"]


class Limits:
    """Hard budgets by the name of their cost.

    Attributes:
        budgets: The budgets by name.
    """

    def __init__(self, budgets: Mapping[str, Budget]) -> None:
        self.budgets = dict(budgets)

    def allows(self, arch: Any) -> bool:
        """Return whether an architecture meets every budget.

        Raises:
            SearchError: A cost is not finite.
        """
        for budget in self.budgets.values():
            finite_cost(budget.cost, arch)
            if not budget.allows(arch):
                return False
        return True

    def violations(self, arch: Any) -> list[float]:
        """Return how far an architecture exceeds each budget, as a fraction of the limit; negative within it.

        Raises:
            SearchError: A cost is not finite.
        """
        return [finite_cost(budget.cost, arch) / budget.limit - 1.0 for budget in self.budgets.values()]

    def excess(self, arch: Any) -> float:
        """Return the sum of positive violations; 0 within all budgets."""
        return sum(max(0.0, violation) for violation in self.violations(arch))

    def joint_budget_error(self) -> BudgetError:
        """Return the error for budgets that can be met one by one but not together."""
        budgets = list(self.budgets.values())
        return joint_budget_error(budgets, jointly_smallest(budgets)[0])


def limits_to_save(budgets: Mapping[str, Budget]) -> dict[str, list[Any]]:
    """Return text and limit of each budget, for a checkpoint."""
    return {name: [budget.text, budget.limit] for name, budget in budgets.items()}


def restore_limits(budgets: Mapping[str, Budget], saved: Mapping[str, Sequence[Any]]) -> dict[str, Budget]:
    """Restore the limits from the start of a search: a percentage of a measured cost has a different limit now.

    Args:
        budgets: The current budgets.
        saved: The result of :func:`limits_to_save` at the start. A budget with a different text keeps its new limit.
    """
    same = {name for name, budget in budgets.items() if name in saved and saved[name][0] == budget.text}
    return {name: replace(b, limit=saved[name][1]) if name in same else b for name, b in budgets.items()}


def finite_cost(cost: Cost, arch: Any) -> float:
    """Return the cost of an architecture.

    Raises:
        SearchError: It is not finite.
    """
    value = cost(arch)
    if not abs(value) < float("inf"):
        raise SearchError(f"{type(cost).__name__} gives {value} {cost.unit} for {arch!r}: a cost is a finite number")
    return value
