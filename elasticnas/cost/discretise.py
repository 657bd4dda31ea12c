"""most_probable: choose one architecture within the budgets from probabilities."""

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, islice, product
from math import prod
from typing import Any

from torch import Tensor

from elasticnas.cost.budget import Budget, descend, excess, joint_budget_error
from elasticnas.cost.cost import Cost
from elasticnas.cost.table import given_probabilities
from elasticnas.errors import ArchitectureError, BudgetError, SearchError
from elasticnas.space.space import A

__all__ = ["most_probable"]

_EXACT = 50_000  # most combinations that are enumerated
_FIRST = 500  # most probable combinations that are tried in a larger space before the greedy search
_TIED = 256  # equally probable architectures whose costs are compared
_EQUAL = 1e-9  # difference of log-probabilities that counts as none


def most_probable(
    space: type[A],
    probabilities: Mapping[str, Tensor],
    budgets: Sequence[Budget[A]] = (),
    cost: Cost[A] | None = None,
) -> A:
    """Return the most probable architecture that meets all budgets.

    Choices are independent; those without probabilities are as in the largest architecture. An absent layer counts
    with the probability of its most probable option, so that architectures with few layers are not preferred for
    having fewer factors.

    The result is exact if the choices have up to 50,000 combinations, or if one of the 500 most probable architectures
    meets the budgets. Otherwise it is found greedily: changes with the least loss of log-probability per cost saved
    (as a fraction of the unmet budgets) until all budgets are met; then changes of one or two choices that increase
    the probability within the budgets. With several budgets, a second greedy search starts at the architecture
    closest to meeting them.

    Args:
        space: A Space class.
        probabilities: Per choice a tensor ``(options,)``; a per-layer field may be one ``(layers, options)``.
        budgets: The budgets; empty allows every architecture.
        cost: Breaks ties between equally probable architectures (up to 256) by the smallest cost; None takes the cost
            of the first budget.

    Raises:
        BudgetError: No architecture within the budgets was found; the message has the smallest reachable cost, or the
            closest architecture.
        ArchitectureError: A probability is negative or not finite.
        SearchError: A choice has more than one vector of probabilities.
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
    """The architectures of a space, with their log-probabilities."""

    def __init__(self, space: Any, probabilities: Mapping[str, Tensor]) -> None:
        self.space = space
        self.logs = {name: _logs(name, value) for name, value in given_probabilities(space, probabilities).items()}
        self.options = {name: options for name, options in space.choices().items() if name in self.logs}
        self.combinations = prod(map(len, self.options.values()))
        self.exact = self.combinations <= _EXACT
        self._base = space.assignment(space.largest())

    def ranked(self) -> Iterator[tuple[float, Any]]:
        """Iterate over log-probabilities and architectures, the most probable first, for up to 50,000 combinations."""
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
            # each combination has one parent, whose last non-zero rank is one lower
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
        """Return the option of each choice; for absent layers, the most probable one."""
        values = self.space.assignment(arch)
        present = self.space.present(arch)
        return {
            name: values[name] if name in present else self.options[name][logs.index(max(logs))]
            for name, logs in self.logs.items()
        }

    def log_probability(self, arch: Any) -> float:
        """Return the log-probability of an architecture, with absent layers at their most probable option."""
        choices = {choice.name: choice for choice in self.space.choice_list()}
        chosen = self._chosen(arch)
        return sum((self.logs[name][choices[name].index(value)] for name, value in chosen.items()), 0.0)

    def changed(self, arch: Any, count: int) -> list[Any]:
        """Return the valid architectures that differ in ``count`` choices."""
        chosen = self._chosen(arch)
        found: dict[Any, None] = {}
        for names in combinations(self.options, count):
            for options in product(*(self.options[name] for name in names)):
                other = self._possible(chosen | dict(zip(names, options, strict=True)))
                if other is not None and other != arch:
                    found[other] = None
        return list(found)

    def cheapest(self, cost: Cost) -> Any:
        """Return the cheapest architecture; in a large space, the result of a descent over single changes."""
        if self.exact:
            return min((arch for _, arch in self.ranked()), key=cost, default=self.space.smallest())
        smallest = {name: _smallest(options) for name, options in self.options.items()}
        start = self._possible(smallest) or next((arch for _, arch in self.ranked()), self.space.largest())
        return descend(start, cost, partial(self.changed, count=1))

    def closest(self, budgets: Sequence[Budget]) -> Any:
        """Return the architecture with the least excess; in a large space, the result of a descent."""
        over = partial(excess, budgets)
        if self.exact:
            return min((arch for _, arch in self.ranked()), key=over, default=self.space.smallest())
        start = min((self.cheapest(budget.cost) for budget in budgets), key=over)
        return descend(start, over, partial(self.changed, count=1))

    def impossible(self, budgets: Sequence[Budget]) -> BudgetError:
        """Return the error for budgets that no architecture meets as far as is known."""
        cheapest = [(budget, self.cheapest(budget.cost)) for budget in budgets]
        below = [budget.impossible(arch, budget.cost(arch)) for budget, arch in cheapest if not budget.allows(arch)]
        return BudgetError("; ".join(map(str, below))) if below else joint_budget_error(budgets, self.closest(budgets))

    def greedy(self, budgets: Sequence[Budget]) -> Any:
        """Return an architecture of high probability within the budgets, or None."""
        arch = next((arch for _, arch in self.ranked()), None)
        while arch is not None and not _meets(budgets, arch):
            arch = self._cheaper(arch, budgets)
        starts = [] if arch is None else [arch]
        # with several budgets, the greedy steps may end at an architecture that meets only some of them
        if (arch is None or len(budgets) > 1) and _meets(budgets, closest := self.closest(budgets)):
            starts.append(closest)
        return max((self._improved(arch, budgets) for arch in starts), key=self.log_probability, default=None)

    def _improved(self, arch: Any, budgets: Sequence[Budget]) -> Any:
        while (better := self._better(arch, budgets)) is not None:
            arch = better
        return arch

    def _cheaper(self, arch: Any, budgets: Sequence[Budget]) -> Any:
        """Return the change with the least loss of log-probability per cost saved among those that lower the excess."""
        here, over = self.log_probability(arch), excess(budgets, arch)
        unmet = [budget for budget in budgets if budget.excess(arch) > 0]

        def loss_per_saving(other: Any) -> float:
            # cost saved below a limit counts too: being close to the limit is no aim
            saved = sum((budget.cost(arch) - budget.cost(other)) / budget.limit for budget in unmet)
            return (here - self.log_probability(other)) / saved

        for count in (1, 2):
            cheaper = [other for other in self.changed(arch, count) if excess(budgets, other) < over]
            if cheaper:
                return min(cheaper, key=loss_per_saving)
        return None

    def _better(self, arch: Any, budgets: Sequence[Budget]) -> Any:
        """Return the change within the budgets that increases the probability most, or None."""
        here = self.log_probability(arch)
        for count in (1, 2):
            gains = [(self.log_probability(other), other) for other in self.changed(arch, count)]
            for value, other in sorted(gains, key=lambda pair: -pair[0]):
                if value <= here + _EQUAL:
                    break
                if _meets(budgets, other):
                    return other
        return None


def _smallest(options: tuple[Any, ...]) -> Any:
    return min(options) if all(isinstance(option, (int, float)) for option in options) else options[0]


def _logs(name: str, probabilities: Tensor) -> list[float]:
    if probabilities.ndim != 1:
        raise SearchError(f"{name}: one vector of probabilities is needed, not the shape {tuple(probabilities.shape)}")
    return [math.log(max(value, 1e-300)) for value in probabilities.detach().cpu().double().tolist()]
