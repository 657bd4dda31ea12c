"""Outcome: from evaluated candidates to the result of a search."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from elasticnas.cost import Budget, Cost, Latency
from elasticnas.search.result import Candidate, Direction, Measured, SearchResult, pareto

__all__ = ["Outcome"]

Candidates = Sequence[Candidate[Any]]


class Outcome:
    """Makes the result of a search, whose choice meets what is measured where the costs were predicted.

    Args:
        strategy: Name of the strategy.
        costs: By name.
        budgets: By the name of their cost.
        metric: That ranks candidates.
        direction: Whether more of it is better.
        largest: The largest architecture, whose costs the others are compared with.
    """

    def __init__(
        self,
        strategy: str,
        costs: Mapping[str, Cost],
        budgets: Mapping[str, Budget],
        metric: str,
        direction: Direction,
        largest: Any,
    ) -> None:
        self._strategy, self._costs, self._budgets = strategy, costs, budgets
        self.metric, self._direction = metric, direction
        whole = {name: float(cost(largest)) for name, cost in costs.items()}
        self._largest_costs = {name: value for name, value in whole.items() if math.isfinite(value)}

    def order(self, candidate: Candidate[Any]) -> tuple[float, float]:
        """The better metric first, then the cheaper."""
        value = candidate.metrics[self.metric]
        return (-value if self._direction == "maximise" else value), next(iter(candidate.costs.values()))

    def best(self, candidates: Candidates) -> Candidate[Any]:
        """The candidate with the best metric, the cheaper of two."""
        return min(candidates, key=self.order)

    def front(self, candidates: Candidates) -> tuple[Candidate[Any], ...]:
        """Those that no other beats, cheapest first."""
        return pareto(candidates, self.metric, self._direction)

    def result(
        self,
        found: Candidate[Any],
        candidates: Candidates,
        drawn: Candidates,
        *,
        warnings: Sequence[str],
        **further: Any,
    ) -> SearchResult[Any]:
        """The result.

        Args:
            found: What the search chose.
            candidates: Whose front is shown.
            drawn: What random search evaluated.
            warnings: What a reader should know.
            **further: Fields of the result as they are.
        """
        front, random_front = self.front(candidates), self.front(drawn)
        latency = self._measured([found, *front, *random_front])
        chosen, lines = self._within_measured(found, front, latency)
        random, _ = self._within_measured(self.best(drawn), random_front, latency)
        return SearchResult(
            strategy=self._strategy,
            metric=self.metric,
            direction=self._direction,
            units={name: cost.unit for name, cost in self._costs.items()},
            limits={name: budget.limit for name, budget in self._budgets.items()},
            largest_costs=self._largest_costs,
            found=chosen,
            random=random,
            random_tried=tuple(drawn),
            pareto=front,
            random_pareto=random_front,
            warnings=(*warnings, *lines),
            latency=latency,
            **further,
        )

    def _measured(self, candidates: Candidates) -> dict[str, tuple[Measured[Any], ...]]:
        """Of every Latency that has predicted any of the candidates: these measured."""
        archs = list(dict.fromkeys(candidate.architecture for candidate in candidates))
        found: dict[str, tuple[Measured[Any], ...]] = {}
        for name, cost in self._costs.items():
            rows = cost.verify(archs).rows if isinstance(cost, Latency) else ()
            if rows:
                found[name] = tuple(Measured(architecture=a, predicted=p, measured=m) for a, p, m in rows)
        return found

    def _within_measured(
        self, found: Candidate[Any], front: Candidates, latency: Mapping[str, Sequence[Measured[Any]]]
    ) -> tuple[Candidate[Any], list[str]]:
        """What was found, or the best of the front that meets the budgets as measured."""
        over: dict[Any, Measured[Any]] = {}
        for name, budget in self._budgets.items():
            over |= {row.architecture: row for row in latency.get(name, ()) if row.measured > budget.limit}
        if not over:
            return found, []
        within = [candidate for candidate in front if candidate.architecture not in over]
        kept = found.architecture not in over
        chosen = found if kept or not within else self.best(within)
        worst = over[found.architecture] if not kept else max(over.values(), key=lambda row: row.measured)
        those = "architecture of the front is" if len(over) == 1 else "architectures of the front are"
        line = (
            f"{len(over)} {those} over the budget when measured, such as "
            f"{worst.architecture!r}, predicted at {worst.predicted:.3g} and measured at {worst.measured:.3g}"
        )
        if not kept:
            taken = f"the best that is within it, {chosen.architecture!r}, is taken" if within else "none is within it"
            line += f"; {taken}"
        return chosen, [line]
