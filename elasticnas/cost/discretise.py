"""most_probable: from probabilities to one architecture within the budgets."""

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, islice, product
from math import prod
from typing import Any

from torch import Tensor

from elasticnas.cost.budget import Budget, descend, excess, not_together
from elasticnas.cost.cost import Cost
from elasticnas.cost.table import given_probabilities
from elasticnas.errors import ArchitectureError, BudgetError, SearchError
from elasticnas.space.space import A

__all__ = ["most_probable"]

_EXACT = 50_000  # combinations gone through one by one
_FIRST = 500  # of a larger space, before the greedy search
_TIED = 256  # equally probable architectures whose costs are compared
_EQUAL = 1e-9  # difference of log-probabilities that counts as none


def most_probable(
    space: type[A],
    probabilities: Mapping[str, Tensor],
    budgets: Sequence[Budget[A]] = (),
    cost: Cost[A] | None = None,
) -> A:
    """The most probable architecture that the budgets allow.

    Choices count as independent and those without probabilities stay as in the largest architecture. A layer that an
    architecture does not have counts with its most probable option, so that few layers are not preferred for having
    fewer factors. Exact where the choices have up to 50,000 combinations; in larger spaces exact if one of the 500
    most probable architectures is allowed, else greedy: the cheapest loss of probability per cost saved, in shares of
    the budgets that are not met, until all are, or from what is closest to meeting several; then every change of one
    or two choices that regains some.

    Args:
        space: A Space class.
        probabilities: Per choice a tensor ``(options,)``; a per-layer field may be one ``(layers, options)``.
        budgets: All of them are met; none allows every architecture.
        cost: Breaks ties, the smaller cost first (among the first 256 tied); None takes the first budget's.

    Raises:
        BudgetError: No architecture found within the budgets; names the smallest cost met, or the closest architecture.
        ArchitectureError: Probabilities that are negative or not finite.
        SearchError: More than one vector of probabilities for a choice.
    """
    cost = cost or (budgets[0].cost if budgets else None)
    search = _Search(space, probabilities)
    allowed = (
        (value, arch)
        for value, arch in (search.ranked() if search.exact else islice(search.ranked(), _FIRST))
        if _meets(budgets, arch)
    )
    found: A | None = _first_of_ties(allowed, cost)
    if found is None and budgets and not search.exact:
        found = search.greedy(budgets)
    if found is not None:
        return found
    if not budgets:
        raise ArchitectureError(f"{space.__name__}: no architecture has any combination of {list(search.logs)}")
    raise search.impossible(budgets)


def _meets(budgets: Sequence[Budget], arch: Any) -> bool:
    return all(budget.allows(arch) for budget in budgets)


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
        self.exact = self.combinations <= _EXACT
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
            return self.space.from_assignment(self._base | chosen)
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

    def cheapest(self, cost: Cost) -> Any:
        """The cheapest architecture; in a large space, the cheapest that a descent over single changes finds."""
        if self.exact:
            return min((arch for _, arch in self.ranked()), key=cost, default=self.space.smallest())
        least = {name: _least(options) for name, options in self.options.items()}
        start = self._possible(least) or next((arch for _, arch in self.ranked()), self.space.largest())
        return descend(start, cost, partial(self.changed, count=1))

    def closest(self, budgets: Sequence[Budget]) -> Any:
        """The architecture that is least over all budgets together, found likewise."""
        over = partial(excess, budgets)
        if self.exact:
            return min((arch for _, arch in self.ranked()), key=over, default=self.space.smallest())
        start = min((self.cheapest(budget.cost) for budget in budgets), key=over)
        return descend(start, over, partial(self.changed, count=1))

    def impossible(self, budgets: Sequence[Budget]) -> BudgetError:
        """The error of budgets that no architecture was found to meet."""
        cheapest = [(budget, self.cheapest(budget.cost)) for budget in budgets]
        below = [budget.impossible(arch, budget.cost(arch)) for budget, arch in cheapest if not budget.allows(arch)]
        return BudgetError("; ".join(map(str, below))) if below else not_together(budgets, self.closest(budgets))

    def greedy(self, budgets: Sequence[Budget]) -> Any:
        """An allowed architecture of high probability, or None."""
        arch = next((arch for _, arch in self.ranked()), None)
        while arch is not None and not _meets(budgets, arch):
            arch = self._cheaper(arch, budgets)
        starts = [] if arch is None else [arch]
        # of several budgets, the first to be met may lead to a corner of the space
        if (arch is None or len(budgets) > 1) and _meets(budgets, closest := self.closest(budgets)):
            starts.append(closest)
        return max((self._improved(arch, budgets) for arch in starts), key=self.log_probability, default=None)

    def _improved(self, arch: Any, budgets: Sequence[Budget]) -> Any:
        while (better := self._better(arch, budgets)) is not None:
            arch = better
        return arch

    def _cheaper(self, arch: Any, budgets: Sequence[Budget]) -> Any:
        """The change that loses the least probability per cost saved; what all are over in all falls at each step."""
        here, over = self.log_probability(arch), excess(budgets, arch)
        unmet = [budget for budget in budgets if budget.excess(arch) > 0]

        def loss_per_saving(other: Any) -> float:
            # what goes below a limit counts as saved too: nearness to it is no aim
            saved = sum((budget.cost(arch) - budget.cost(other)) / budget.limit for budget in unmet)
            return (here - self.log_probability(other)) / saved

        for count in (1, 2):
            cheaper = [other for other in self.changed(arch, count) if excess(budgets, other) < over]
            if cheaper:
                return min(cheaper, key=loss_per_saving)
        return None

    def _better(self, arch: Any, budgets: Sequence[Budget]) -> Any:
        """The allowed change that gains the most probability."""
        here = self.log_probability(arch)
        for count in (1, 2):
            gains = [(self.log_probability(other), other) for other in self.changed(arch, count)]
            for value, other in sorted(gains, key=lambda pair: -pair[0]):
                if value <= here + _EQUAL:
                    break
                if _meets(budgets, other):
                    return other
        return None


def _least(options: tuple[Any, ...]) -> Any:
    return min(options) if all(isinstance(option, (int, float)) for option in options) else options[0]


def _logs(name: str, probabilities: Tensor) -> list[float]:
    if probabilities.ndim != 1:
        raise SearchError(f"{name}: one vector of probabilities is needed, not the shape {tuple(probabilities.shape)}")
    return [math.log(max(value, 1e-300)) for value in probabilities.detach().double().cpu().tolist()]
