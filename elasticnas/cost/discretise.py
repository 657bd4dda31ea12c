"""most_probable: from probabilities to one architecture within the budget."""

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, islice, product
from math import prod
from typing import Any

from torch import Tensor

from elasticnas.cost.budget import Budget, descend
from elasticnas.cost.cost import Cost
from elasticnas.cost.table import given_probabilities
from elasticnas.errors import ArchitectureError, BudgetError, SearchError

__all__ = ["most_probable"]

_EXACT = 50_000  # combinations gone through one by one
_FIRST = 500  # of a larger space, before the greedy search
_TIED = 256  # equally probable architectures whose costs are compared
_EQUAL = 1e-9  # difference of log-probabilities that counts as none


def most_probable(
    space: Any, probabilities: Mapping[str, Tensor], budgets: Sequence[Budget] = (), cost: Cost | None = None
) -> Any:
    """The most probable architecture that all budgets allow.

    Choices count as independent and those without probabilities stay as in the largest architecture. A layer that an
    architecture does not have counts with its most probable option, so that few layers are not preferred for having
    fewer factors. Exact where the choices have up to 50,000 combinations; in larger spaces exact if one of the 500
    most probable architectures is allowed, else greedy: the cheapest loss of probability per cost saved (of the budgets
    that are exceeded, each relative to its limit) until all are met, then every change of one or two choices that
    regains some.

    Args:
        space: A Space class.
        probabilities: Per choice a tensor ``(options,)``; a per-layer field may be one ``(layers, options)``.
        budgets: None of them allows every architecture.
        cost: Breaks ties, the smaller cost first (among the first 256 tied); None takes that of the first budget.

    Raises:
        BudgetError: No architecture found within the budgets; names the smallest cost met, or what is nearest to all.
        ArchitectureError: Probabilities that are negative or not finite.
        SearchError: More than one vector of probabilities for a choice.
    """
    cost = cost or (budgets[0].cost if budgets else None)
    search, limits = _Search(space, probabilities), _Limits(budgets)
    exact = search.combinations <= _EXACT
    allowed = (
        (value, arch)
        for value, arch in (search.ranked() if exact else islice(search.ranked(), _FIRST))
        if limits.allow(arch)
    )
    found = _first_of_ties(allowed, cost)
    if found is None and budgets and not exact:
        found = search.greedy(limits)
    if found is not None:
        return found
    if not budgets:
        raise ArchitectureError(f"{space.__name__}: no architecture has any combination of {list(search.logs)}")
    if exact:
        nearest = min((arch for _, arch in search.ranked()), key=limits.distance, default=space.smallest())
    else:
        nearest = search.cheapest(limits.distance)
    raise limits.impossible(nearest)


class _Limits:
    """Budgets together."""

    def __init__(self, budgets: Sequence[Budget]) -> None:
        self._budgets = budgets

    def allow(self, arch: Any) -> bool:
        return all(budget.allows(arch) for budget in self._budgets)

    def exceeded(self, arch: Any) -> list[Budget]:
        return [budget for budget in self._budgets if not budget.allows(arch)]

    def distance(self, arch: Any) -> float:
        """A single cost relative to its limit, or what several are over theirs."""
        shares = [budget.cost(arch) / budget.limit for budget in self._budgets]
        return shares[0] if len(shares) == 1 else sum(max(0.0, share - 1.0) for share in shares)

    def impossible(self, nearest: Any) -> BudgetError:
        if len(self._budgets) == 1:
            return self._budgets[0].impossible(nearest, self._budgets[0].cost(nearest))
        costs = ", ".join(f"{budget.cost(nearest):,.6g} {budget.cost.unit}" for budget in self._budgets)
        return BudgetError(
            f"no architecture was found within {' and '.join(map(str, self._budgets))} together; nearest is "
            f"{nearest!r} with {costs}: raise a budget"
        )


def _first_of_ties(allowed: Iterator[tuple[float, Any]], cost: Cost | None) -> Any:
    first = next(allowed, None)
    if first is None or cost is None:
        return None if first is None else first[1]
    ties = [first[1]]
    for value, arch in islice(allowed, _TIED - 1):
        if value < first[0] - _EQUAL:
            break
        ties.append(arch)
    return min(ties, key=cost) if len(ties) > 1 else ties[0]


class _Search:
    """Architectures by log-probability."""

    def __init__(self, space: Any, probabilities: Mapping[str, Tensor]) -> None:
        self.space = space
        self.logs = {name: _logs(name, value) for name, value in given_probabilities(space, probabilities).items()}
        self.options = {name: options for name, options in space.choices().items() if name in self.logs}
        self.combinations = prod(map(len, self.options.values()))
        self._base = space.assignment(space.largest())

    def ranked(self) -> Iterator[tuple[float, Any]]:
        """Every possible architecture once with its log-probability, the most probable first.

        Ends after 50,000 combinations, possible or not.
        """
        names = list(self.logs)
        order, ranked = [], []
        for logs in self.logs.values():
            positions = sorted(range(len(logs)), key=logs.__getitem__, reverse=True)
            order.append(positions)
            ranked.append([logs[position] for position in positions])
        queue = [(-sum(values[0] for values in ranked), (0,) * len(names), 0)]
        seen = set()
        for _ in range(min(_EXACT, self.combinations)):
            negative, ranks, last = heapq.heappop(queue)
            # each combination has one parent: the one with its last non-zero rank lowered
            for position in range(last, len(names)):
                if ranks[position] + 1 < len(ranked[position]):
                    following = (*ranks[:position], ranks[position] + 1, *ranks[position + 1 :])
                    step = ranked[position][ranks[position]] - ranked[position][ranks[position] + 1]
                    heapq.heappush(queue, (negative + step, following, position))
            chosen = {n: self.options[n][order[i][ranks[i]]] for i, n in enumerate(names)}
            arch = self._possible(chosen)
            if arch is not None and arch not in seen:
                seen.add(arch)
                yield -negative, arch

    def _possible(self, chosen: Mapping[str, Any]) -> Any:
        try:
            return self.space.build(self._base | chosen)
        except ArchitectureError:
            return None

    def _chosen(self, arch: Any) -> dict[str, Any]:
        """The value of each choice, the most probable one for layers that the architecture does not have."""
        values = self.space.assignment(arch)
        present = self.space.present(arch)
        return {
            name: values[name] if name in present else self.options[name][logs.index(max(logs))]
            for name, logs in self.logs.items()
        }

    def log_probability(self, arch: Any) -> float:
        """Of an architecture, absent layers at their most probable option."""
        choices = {choice.name: choice for choice in self.space.choice_list()}
        chosen = self._chosen(arch)
        return sum((self.logs[name][choices[name].index(value)] for name, value in chosen.items()), 0.0)

    def changed(self, arch: Any, count: int) -> list[Any]:
        """Possible architectures that differ in up to ``count`` choices."""
        chosen = self._chosen(arch)
        found: dict[Any, None] = {}
        for names in combinations(self.options, count):
            for options in product(*(self.options[name] for name in names)):
                other = self._possible(chosen | dict(zip(names, options, strict=True)))
                if other is not None and other != arch:
                    found[other] = None
        return list(found)

    def cheapest(self, cost: Callable[[Any], float]) -> Any:
        """The cheapest architecture that a descent over single changes finds."""
        least = {name: _least(options) for name, options in self.options.items()}
        start = self._possible(least) or next((arch for _, arch in self.ranked()), self.space.largest())
        return descend(start, cost, lambda arch: self.changed(arch, 1))[0]

    def greedy(self, limits: _Limits) -> Any:
        """An allowed architecture of high probability, or None."""
        arch = next((arch for _, arch in self.ranked()), None)
        while arch is not None and not limits.allow(arch):
            arch = self._cheaper(arch, limits.exceeded(arch))
        if arch is None:
            arch = self.cheapest(limits.distance)
            if not limits.allow(arch):
                return None
        while (better := self._better(arch, limits)) is not None:
            arch = better
        return arch

    def _cheaper(self, arch: Any, exceeded: Sequence[Budget]) -> Any:
        """The change that loses the least probability per cost saved."""

        def cost(arch: Any) -> float:
            return sum(budget.cost(arch) / budget.limit for budget in exceeded)

        here, paid = self.log_probability(arch), cost(arch)
        for count in (1, 2):
            cheaper = [other for other in self.changed(arch, count) if cost(other) < paid]
            if cheaper:
                return min(cheaper, key=lambda other: (here - self.log_probability(other)) / (paid - cost(other)))
        return None

    def _better(self, arch: Any, limits: _Limits) -> Any:
        """The allowed change that gains the most probability."""
        here = self.log_probability(arch)
        for count in (1, 2):
            gains = [(self.log_probability(other), other) for other in self.changed(arch, count)]
            for value, other in sorted(gains, key=lambda pair: -pair[0]):
                if value <= here + _EQUAL:
                    break
                if limits.allow(other):
                    return other
        return None


def _least(options: tuple[Any, ...]) -> Any:
    return min(options) if all(isinstance(option, (int, float)) for option in options) else options[0]


def _logs(name: str, probabilities: Tensor) -> list[float]:
    if probabilities.ndim != 1:
        raise SearchError(f"{name}: one vector of probabilities is needed, not the shape {tuple(probabilities.shape)}")
    return [math.log(max(value, 1e-300)) for value in probabilities.detach().double().cpu().tolist()]
