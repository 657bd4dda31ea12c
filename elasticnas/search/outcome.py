"""Outcome: order evaluated candidates and make the result of a search."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from elasticnas.cost import Budget, Cost, Latency
from elasticnas.search.result import Candidate, Direction, Measured, SearchResult, pareto

__all__ = ["Outcome"]

Candidates = Sequence[Candidate[Any]]


class Outcome:
    """Orders candidates and makes the result of a search; predicted latencies are measured first.

    Args:
        strategy: Name of the strategy.
        costs: The costs by name.
        budgets: The budgets by the name of their cost.
        metric: The metric that ranks candidates.
        direction: Whether the metric is maximised or minimised.
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
        """Return a sort key: better metric first, then lower cost."""
        value = candidate.metrics[self.metric]
        return (-value if self._direction == "maximise" else value), next(iter(candidate.costs.values()))

    def best(self, candidates: Candidates) -> Candidate[Any]:
        """Return the candidate with the best metric; the cheapest of equal ones."""
        return min(candidates, key=self.order)

    def front(self, candidates: Candidates) -> tuple[Candidate[Any], ...]:
        """Return the Pareto front, cheapest first."""
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
        """Make the result of a search.

        Args:
            found: The candidate that the search chose.
            candidates: The candidates of the front.
            drawn: The candidates of random search.
            warnings: Warnings about the search.
            **further: Other fields of the result.
        """
        front, random_front = self.front(candidates), self.front(drawn)
        latency = self._measure([found, *front, *random_front])
        chosen, lines = self._choose_within(found, front, latency)
        random, _ = self._choose_within(self.best(drawn), random_front, latency)
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

    def _measure(self, candidates: Candidates) -> dict[str, tuple[Measured[Any], ...]]:
        """Measure the candidates whose latency was only predicted, for every Latency."""
        archs = list(dict.fromkeys(candidate.architecture for candidate in candidates))
        found: dict[str, tuple[Measured[Any], ...]] = {}
        for name, cost in self._costs.items():
            rows = cost.verify(archs).rows if isinstance(cost, Latency) else ()
            if rows:
                found[name] = tuple(Measured(architecture=a, predicted=p, measured=m) for a, p, m in rows)
        return found

    def _choose_within(
        self, found: Candidate[Any], front: Candidates, latency: Mapping[str, Sequence[Measured[Any]]]
    ) -> tuple[Candidate[Any], list[str]]:
        """Return the found candidate if it meets the budgets as measured, else the best one of the front that does."""
        over: dict[Any, Measured[Any]] = {}
        for name, budget in self._budgets.items():
            over |= {row.architecture: row for row in latency.get(name, ()) if row.measured > budget.limit}
        if not over:
            return found, []
        within = [candidate for candidate in front if candidate.architecture not in over]
        is_within = found.architecture not in over
        chosen = found if is_within or not within else self.best(within)
        worst = over[found.architecture] if not is_within else max(over.values(), key=lambda row: row.measured)
        those = "architecture of the front is" if len(over) == 1 else "architectures of the front are"
        line = (
            f"{len(over)} {those} over the budget when measured, such as "
            f"{worst.architecture!r}, predicted at {worst.predicted:.3g} and measured at {worst.measured:.3g}"
        )
        if not is_within:
            taken = f"the best that is within it, {chosen.architecture!r}, is taken" if within else "none is within it"
            line += f"; {taken}"
        return chosen, [line]
