"""OptionScores: what every option changes in the metric, and the best architectures for any budgets."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from math import inf, nan
from typing import Any, Generic

import numpy as np
from pydantic import SerializeAsAny

from elasticnas.cost import Budget, Cost
from elasticnas.cost.objective import Objective
from elasticnas.cost.rank_correlation import rank_correlation
from elasticnas.cost.solver import Solver
from elasticnas.errors import ArchitectureError, BudgetError, ConfigError
from elasticnas.record import Record, Result, read_result
from elasticnas.report.numbers import counted
from elasticnas.runtime import warn
from elasticnas.search.arguments import require_integer
from elasticnas.search.direction import Direction
from elasticnas.space.space import A, S

__all__ = ["Checked", "OptionScores", "PairChange"]

_ENUMERATED = 4_096  # most combinations whose true costs are all computed
_ROUNDING = 1e-9  # relative, the allowance of budgets
_BELOW = 3 * _ROUNDING


class PairChange(Record):
    """What options of two choices change together, beyond the sum of what each changes alone.

    Attributes:
        choices: The two choices, in the order of the space.
        changes: For each option of the first choice, one number for each option of the second; 0 where none was
            measured.
    """

    choices: tuple[str, str]
    changes: tuple[tuple[float, ...], ...]


class Checked(Record, Generic[A]):
    """A random architecture that was not used for the scores, with its predicted and evaluated metric."""

    architecture: SerializeAsAny[A]
    predicted: float
    evaluated: float


class OptionScores(Result, Generic[A]):
    """Predicts the metric as ``level + sum of changes over the present choices + sum over the pairs``.

    Any budgets can be given afterwards: :meth:`best` finds the architecture with the best predicted metric under the
    true costs and the rules of the space.

    Attributes:
        metric: The metric.
        direction: Whether it is maximised or minimised.
        references: The architectures in which single options were changed.
        level: The prediction for the first reference.
        changes: Per choice, what each option changes in the metric; None for an option that could not be scored and is
            never chosen.
        pairs: Pairwise corrections.
        checked: Random architectures that were held out of the scores.

    Source: scores of alternatives for every block and a search for their best combination, Puzzle, arXiv:2411.19146;
    with a single reference, an anchored (cut) HDMR expansion of first order, with pairs of second order.
    """

    metric: str
    direction: Direction
    references: tuple[SerializeAsAny[A], ...]
    level: float
    changes: dict[str, tuple[float | None, ...]]
    pairs: tuple[PairChange, ...] = ()
    checked: tuple[Checked[A], ...] = ()

    @property
    def space(self) -> type[A]:
        """The space."""
        return type(self.references[0])

    @property
    def rank_correlation(self) -> float:
        """Spearman's, between predicted and evaluated metrics of :attr:`checked`; nan if there are too few."""
        predicted = np.array([row.predicted for row in self.checked])
        return rank_correlation(predicted, np.array([row.evaluated for row in self.checked]))

    def summary(self) -> str:
        """Return the number of scores and the rank correlation as text."""
        scored = sum(change is not None for changes in self.changes.values() for change in changes)
        cells = sum(change != 0 for pair in self.pairs for row in pair.changes for change in row)
        pairs = f", {counted(cells, 'pair')} corrected" if self.pairs else ""
        held_out = f"rank correlation {self.rank_correlation:.2f} on {counted(len(self.checked), 'architecture')}"
        return f"{counted(scored, 'option')}{pairs}; {held_out} held out"

    def predict(self, arch: A) -> float:
        """Return the predicted metric; nan if an option could not be scored.

        Raises:
            ArchitectureError: The architecture is not one of the space.
        """
        if not isinstance(arch, self.space):
            raise self.space.info().membership.wrong_type_error(arch)
        value = self._sign * self._objective(arch)
        return nan if abs(value) == inf else self.level + value

    def best(self, budgets: Sequence[Budget[A]] = ()) -> A:
        """Return the architecture with the best predicted metric within all budgets.

        It is exact if the choices have up to 4,096 combinations, or if every budget's cost is a sum over the choices
        given a few of them, or over equal layers, as FLOPs and parameters of transformers are; the first call for such
        a cost computes it for some hundred or thousand architectures. For other costs the search is greedy, the best
        may be missed by far under tight budgets, and a warning says so.

        Raises:
            BudgetError: No architecture within the budgets was found; the message has the smallest reachable cost, or
                the closest architecture.
        """
        return self.best_of(budgets, 1)[0]

    def best_of(self, budgets: Sequence[Budget[A]], number: int) -> tuple[A, ...]:
        """Return the ``number`` best architectures within the budgets, the best first; fewer if no more are found.

        Raises:
            BudgetError: As :meth:`best`.
        """
        require_integer("number", number, 1)
        _require_budgets(budgets, self.space)
        return tuple(self._best(Solver(self._objective, _ENUMERATED), budgets, number))

    def front(self, cost: Cost[A], points: "int | None" = 20, budgets: Sequence[Budget[A]] = ()) -> tuple[A, ...]:
        """Return the Pareto front of the predicted metric and a cost, cheapest first.

        For costs that need a greedy search (see :meth:`best`), the front also has every architecture that the search
        passed and that no other one within the budgets beats; it may then have more than ``points``.

        Args:
            cost: The cost.
            points: Number of limits on the cost, evenly spaced from the smallest to that of the best architecture; the
                front has at most as many architectures. None for the whole front.
            budgets: Budgets that every architecture of the front meets.

        Raises:
            BudgetError: As :meth:`best`, without a limit on the cost.
        """
        if points is not None:
            require_integer("points", points, 2)
        _require_budgets(budgets, self.space)
        solver = Solver(self._objective, _ENUMERATED)
        found = [self._best(solver, budgets, 1)[0]]
        most, least = cost(found[0]), cost(solver.cheapest(cost))
        with suppress(BudgetError):  # the other budgets do not allow lower costs
            for place in count(1):
                share = cost(found[-1]) * (1 - _BELOW)
                limit = share if points is None else min(share, most - (most - least) * place / (points - 1))
                if limit < least * (1 - _ROUNDING) or place == points:
                    break
                found += self._best(solver, [Budget(limit, cost, f"{limit:.6g}"), *budgets], 1)
        if solver.was_greedy:
            passed = [arch for arch in solver.passed if self._objective(arch) < inf]
            found += [arch for arch in passed if all(budget.allows(arch) for budget in budgets)]
        return _front(found, cost, self._objective)

    @classmethod
    def from_dict(cls, data: Mapping[str, object], space: type[S]) -> "OptionScores[S]":
        """Return the scores that :meth:`to_dict` converted.

        Args:
            data: Plain data.
            space: The space of the architectures.

        Raises:
            ConfigError: The data has another format, or is damaged.
        """
        return read_result(OptionScores[space], data, "option scores")  # type: ignore[valid-type]

    def _best(self, solver: Solver, budgets: Sequence[Budget[A]], number: int) -> list[A]:
        found: list[A] = solver.best(budgets, number)
        if found and not solver.proven:
            warn(
                "the best architecture within the budgets was sought greedily, as a cost is no sum over choices or "
                "equal layers, and a better one may exist: evaluate more of best_of(budgets, n)"
            )
        if not found:
            raise ArchitectureError(f"{self.space.__name__}: no architecture has scored options only")
        return found

    @property
    def _sign(self) -> float:
        return -1.0 if self.direction == "maximise" else 1.0

    @property
    def _objective(self) -> Objective:
        values = {
            name: tuple(inf if change is None else self._sign * change for change in changes)
            for name, changes in self.changes.items()
        }
        pairs = {pair.choices: self._sign * np.array(pair.changes) for pair in self.pairs}
        return Objective(self.space, values, {}, pairs)


def _front(archs: Sequence[Any], cost: Cost[Any], objective: Objective) -> tuple[Any, ...]:
    """Return the architectures that no other one beats in cost and objective."""
    front: list[Any] = []
    lowest = inf
    values = [(cost(arch), objective(arch), arch) for arch in dict.fromkeys(archs)]
    for _, value, arch in sorted(values, key=lambda row: row[:2]):
        if not front or value < lowest:
            front.append(arch)
            lowest = value
    return tuple(front)


def _require_budgets(budgets: Any, space: Any) -> None:
    if isinstance(budgets, (str, Mapping)) or not all(isinstance(budget, Budget) for budget in budgets):
        raise ConfigError(f'budgets={budgets!r:.100}: a list is needed, such as [Budget.parse("50%", cost)]')
    for budget in budgets:
        if budget.cost.space is not space:
            raise ConfigError(
                f"the budget {budget} is on a cost of {budget.cost.space.__name__}, but the scores are of "
                f"{space.__name__}: make the cost from a model of {space.__name__}"
            )
