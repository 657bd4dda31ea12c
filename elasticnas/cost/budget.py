"""Budget: a limit on a cost, absolute or relative to the largest architecture."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any, Generic

from elasticnas.cost.cost import Cost
from elasticnas.errors import BudgetError, SpaceError
from elasticnas.space.space import A, S

__all__ = ["Budget", "excess", "joint_budget_error", "jointly_smallest", "smallest_reachable"]

_ENUMERATED = 4096  # most architectures that are enumerated
_ROUNDING = 1e-9  # relative
_MULTIPLES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_ABSOLUTE = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([kKMGT]?)\s*([A-Za-z]*)")


@dataclass(frozen=True)
class Budget(Generic[A]):
    """A limit that an architecture's cost must not exceed; :meth:`parse` makes one.

    Attributes:
        limit: Absolute, in the cost's unit.
        cost: The cost that is limited.
        text: The limit as it was given.
    """

    limit: float
    cost: Cost[A]
    text: str

    @classmethod
    def parse(cls, given: "str | float", cost: Cost[S]) -> "Budget[S]":
        """Make a budget from ``"50%"`` (of the largest architecture's cost), ``"2M"`` (k, M, G, T) or a number.

        Raises:
            BudgetError: The form is unknown, the limit is not above 0, above 100%, or below the cost of every
                architecture; the message then has the smallest reachable cost and its architecture.
        """
        text = str(given).strip()
        if isinstance(given, bool) or not isinstance(given, (str, Real)):
            raise _malformed(given, cost)
        limit = _relative(text, cost) if text.endswith("%") else _absolute(text, cost)
        budget = Budget(limit, cost, text)
        if not budget.allows(cost.space.smallest()):
            arch, smallest = smallest_reachable(cost)
            if not budget.allows(arch):
                raise budget.impossible(arch, smallest)
        return budget

    def allows(self, arch: A) -> bool:
        """Return whether an architecture costs at most the limit, up to rounding."""
        return self.cost(arch) <= self.limit * (1 + _ROUNDING)

    def excess(self, arch: A) -> float:
        """Return how far an architecture exceeds the limit, as a fraction of it; 0 within the limit."""
        return max(0.0, self.cost(arch) / self.limit - 1.0)

    @property
    def identity(self) -> "str | float":
        """A value that equal budgets share across processes: the limit; for percentages of measured costs the text."""
        return self.text if self.cost.measured and self.text.endswith("%") else self.limit

    def impossible(self, arch: A, smallest: float) -> BudgetError:
        """Return the error for a budget below the cost of every architecture."""
        largest = self.cost(self.cost.space.largest())
        hint = ""
        if self.limit <= 100 and not self.text.endswith("%"):
            share = 100 * self.limit if self.limit <= 1 else self.limit
            hint = f"; for that share of the largest write '{share:g}%'"
        return BudgetError(
            f"budget {self.text} ({_amount(self.limit)} {self.cost.unit}) is below the smallest reachable cost, "
            f"{_amount(smallest)} {self.cost.unit} ({smallest / largest:.2%} of the largest) with {arch!r}{hint}"
        )

    def __str__(self) -> str:
        return f"{_amount(self.limit)} {self.cost.unit} ({self.text})"


def excess(budgets: Sequence[Budget], arch: Any) -> float:
    """Return the sum of an architecture's excesses over budgets, as fractions of their limits; 0 within all."""
    return sum(budget.excess(arch) for budget in budgets)


def smallest_reachable(cost: Cost[A]) -> tuple[A, float]:
    """Return the cheapest architecture and its cost: exact up to 4,096 architectures, else by a descent."""
    arch: A = _least(cost.space, cost, [cost.space.smallest])
    return arch, cost(arch)


def jointly_smallest(budgets: Sequence[Budget[A]]) -> tuple[A, tuple[float, ...]]:
    """Return the architecture with the least :func:`excess`, and its cost for each budget.

    It is exact for spaces of up to 4,096 architectures. In larger spaces, a descent over neighbours starts at the
    cheapest architectures of the budgets.

    Args:
        budgets: One or more budgets of one space.
    """
    space = budgets[0].cost.space
    starts = [space.smallest, *(lambda cost=budget.cost: smallest_reachable(cost)[0] for budget in budgets)]
    arch: A = _least(space, partial(excess, budgets), starts)
    return arch, tuple(budget.cost(arch) for budget in budgets)


def joint_budget_error(budgets: Sequence[Budget], closest: Any) -> BudgetError:
    """Return the error for budgets that can be met one by one but not together.

    Args:
        budgets: The budgets.
        closest: The architecture with the least excess.
    """
    costs = " and ".join(f"{_amount(budget.cost(closest))} {budget.cost.unit}" for budget in budgets)
    return BudgetError(
        f"budgets {' and '.join(map(str, budgets))}: each can be met, but not all together; the closest architecture "
        f"found, {closest!r}, has {costs}; raise one"
    )


def _least(space: Any, cost: Callable[[Any], float], starts: Sequence[Callable[[], Any]]) -> Any:
    """Return the cheapest of all architectures if they are few, else the result of a descent from the best start."""
    try:
        small = space.size() <= _ENUMERATED
    except SpaceError:
        small = False
    if small:
        return min(space.enumerate(), key=cost)
    return descend(min((start() for start in starts), key=cost), cost, space.neighbours)


def descend(arch: Any, cost: Callable[[Any], float], neighbours: Callable[[Any], list[Any]]) -> Any:
    """Move to the cheapest neighbour until no neighbour is cheaper."""
    while True:
        cheapest = min(neighbours(arch), key=cost, default=arch)
        if cost(cheapest) >= cost(arch):
            return arch
        arch = cheapest


def _relative(text: str, cost: Cost) -> float:
    try:
        percent = float(text[:-1])
    except ValueError:
        raise _malformed(text, cost) from None
    if not 0 < percent <= 100:
        raise BudgetError(f"budget {text}: a percentage over 0% and up to 100% of the largest architecture's cost")
    return percent / 100 * cost(cost.space.largest())


def _absolute(text: str, cost: Cost) -> float:
    match = _ABSOLUTE.fullmatch(text)
    if match is None or match[3].lower() not in ("", cost.unit.lower()):
        raise _malformed(text, cost)
    limit = float(match[1]) * _MULTIPLES[match[2]]
    if not 0 < limit < math.inf:
        raise BudgetError(f"budget {text}: a finite number of {cost.unit} over 0 is needed")
    return limit


def _malformed(given: Any, cost: Cost) -> BudgetError:
    return BudgetError(
        f"budget {given!r} is not understood: write '50%' (of the largest architecture's {cost.unit}), a number of "
        f"{cost.unit} such as 1500000 or '1.5e6', or one with k, M, G or T such as '2M'"
    )


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.4g}"
