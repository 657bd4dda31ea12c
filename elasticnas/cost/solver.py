"""Solver: the architectures with the lowest objective within budgets, under true costs and rules."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import combinations, islice, product
from math import isfinite, prod
from typing import Any

from elasticnas.cost.budget import Budget, descend, excess, joint_budget_error
from elasticnas.cost.cost import Cost
from elasticnas.cost.objective import Objective
from elasticnas.cost.ranking import ranked
from elasticnas.cost.separable import separable
from elasticnas.errors import BudgetError

__all__ = ["ENUMERATED", "Solver"]

ENUMERATED = 50_000
"""Most combinations that are enumerated, each with its true cost."""
_FIRST = 500  # best combinations that are tried in a larger space before the other methods
_TIED = 256  # equally good architectures whose costs are compared
_AROUND = 64  # architectures near the best of a greedy search whose costs are computed, for each one that is needed
_EQUAL = 1e-9  # difference of objectives that counts as none


class Solver:
    """Minimises an objective within budgets.

    * Few combinations are enumerated in the order of the objective.
    * In a larger space, the 500 best are tried first. If none is within the budgets and every budget's cost is a sum
      over the choices given a few of them (``Cost.separable``), the minimum is found by
      :class:`~elasticnas.cost.separable.Separable`, and the true costs of the result are verified.
    * Otherwise the search is greedy: the change with the least loss per cost saved, until all budgets are met; then
      improvements by changes of one or two choices. With several budgets, a second greedy search starts at the
      architecture closest to meeting them.

    Args:
        objective: The objective.
        enumerated: Most combinations that are enumerated.

    Attributes:
        proven: Whether the last result of :meth:`best` is known to be exact.
        was_greedy: Whether any result was found by the greedy search.
        passed: The architectures whose costs a search in a larger space asked for.
    """

    def __init__(self, objective: Objective, enumerated: int = ENUMERATED) -> None:
        self.objective, self.space = objective, objective.space
        self.options, self._values = {}, {}
        for name, values in objective.values.items():
            kept = [place for place, value in enumerate(values) if isfinite(value)]
            self.options[name] = tuple(self.space.choices()[name][place] for place in kept)
            self._values[name] = [values[place] for place in kept]
        self.combinations = prod(map(len, self.options.values()))
        self.exact = self.combinations <= enumerated
        self.proven, self.was_greedy = True, False
        self.passed: dict[Any, None] = {}
        self._base = self.space.assignment(self.space.largest())

    def best(self, budgets: Sequence[Budget] = (), count: int = 1, cost: Cost | None = None) -> list[Any]:
        """Return the best architectures within the budgets, the best first; fewer than ``count`` if no more are found.

        Args:
            budgets: The budgets; empty allows every architecture.
            count: How many architectures.
            cost: Breaks ties between equally good architectures (up to 256) by the smallest cost, if one is wanted.

        Returns:
            The architectures; without budgets, none if the rules forbid every combination.

        Raises:
            BudgetError: No architecture within the budgets was found; the message has the smallest reachable cost, or
                the closest architecture.
        """
        found = self._enumerated(budgets, count, cost)
        self.proven = self.exact or len(found) == count
        if len(found) < count and not self.exact:
            found = self._separable(budgets, count) or self._greedy(budgets, count)
        if not found and budgets:
            raise self.impossible(budgets)
        return found

    def ranked(self) -> Iterator[tuple[float, Any]]:
        """Iterate over objectives and architectures.

        The lowest objective is first, except in large spaces with an objective that is not additive.
        """
        return iter(self._sorted) if self.exact and not self.objective.additive else self._distinct()

    @cached_property
    def _sorted(self) -> list[tuple[float, Any]]:
        return sorted(self._distinct(), key=lambda pair: pair[0])

    def _distinct(self) -> Iterator[tuple[float, Any]]:
        seen = set()
        for chosen in islice(ranked(self.options, self._values), ENUMERATED):
            arch = self._possible(chosen)
            if arch is not None and arch not in seen:
                seen.add(arch)
                yield self.objective(arch), arch

    def _enumerated(self, budgets: Sequence[Budget], count: int, cost: Cost | None) -> list[Any]:
        if not self.exact and not self.objective.additive:
            return []
        every = self.ranked() if self.exact else islice(self.ranked(), _FIRST)
        meets = _meets if self.exact else self._meets
        allowed = (pair for pair in every if meets(budgets, pair[1]))
        found = _without_ties(allowed, cost) if cost is not None and count == 1 else islice(allowed, count)
        return [arch for _, arch in found]

    def _separable(self, budgets: Sequence[Budget], count: int) -> list[Any]:
        """Return the minimum for separable costs; empty if they are not, or a true cost is not as computed."""
        problem = separable(self.objective, budgets)
        if problem is None:
            return []
        found, self.proven = problem.best(count)
        within = [arch for arch in found if _meets(budgets, arch)]
        self.proven &= len(within) == len(found)
        return within

    def _greedy(self, budgets: Sequence[Budget], count: int) -> list[Any]:
        self.proven, self.was_greedy = False, True
        best = self.greedy(budgets)
        if best is None or count == 1:
            return [] if best is None else [best]
        near = dict.fromkeys([*self.changed(best, 1), *self.changed(best, 2)])
        tried = islice(sorted(near, key=self.objective), _AROUND * count)
        return [best, *islice((arch for arch in tried if self._meets(budgets, arch)), count - 1)]

    def impossible(self, budgets: Sequence[Budget]) -> BudgetError:
        """Return the error for budgets that no architecture meets as far as is known."""
        cheapest = [(budget, self.cheapest(budget.cost)) for budget in budgets]
        below = [budget.impossible(arch, budget.cost(arch)) for budget, arch in cheapest if not budget.allows(arch)]
        return BudgetError("; ".join(map(str, below))) if below else joint_budget_error(budgets, self.closest(budgets))

    def _possible(self, chosen: dict[str, Any]) -> Any:
        return self.space.info().possible(self._base | chosen)

    def _chosen(self, arch: Any) -> dict[str, Any]:
        """Return the option of each choice; for absent layers, the best one."""
        values = self.space.assignment(arch)
        present = self.space.present(arch)
        return {
            name: values[name] if name in present else self.options[name][own.index(min(own))]
            for name, own in self._values.items()
        }

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
        return descend(start, self._passing(cost), partial(self.changed, count=1))

    def closest(self, budgets: Sequence[Budget]) -> Any:
        """Return the architecture with the least excess; in a large space, the result of a descent."""
        over = self._passing(partial(excess, budgets))
        if self.exact:
            return min((arch for _, arch in self.ranked()), key=over, default=self.space.smallest())
        start = min((self.cheapest(budget.cost) for budget in budgets), key=over)
        return descend(start, over, partial(self.changed, count=1))

    def greedy(self, budgets: Sequence[Budget]) -> Any:
        """Return an architecture of low objective within the budgets, or None."""
        arch = next((arch for _, arch in self.ranked()), None)
        while arch is not None and not self._meets(budgets, arch):
            arch = self._cheaper(arch, budgets)
        starts = [] if arch is None else [arch]
        # with several budgets, the greedy steps may end at an architecture that meets only some of them
        if (arch is None or len(budgets) > 1) and self._meets(budgets, closest := self.closest(budgets)):
            starts.append(closest)
        return min((self._improved(arch, budgets) for arch in starts), key=self.objective, default=None)

    def _improved(self, arch: Any, budgets: Sequence[Budget]) -> Any:
        while (better := self._better(arch, budgets)) is not None:
            arch = better
        return arch

    def _cheaper(self, arch: Any, budgets: Sequence[Budget]) -> Any:
        """Return the change with the least loss per cost saved among those that lower the excess."""
        excess_of = self._passing(partial(excess, budgets))
        here, over = self.objective(arch), excess_of(arch)
        unmet = [budget for budget in budgets if budget.excess(arch) > 0]

        def loss_per_saving(other: Any) -> float:
            # cost saved below a limit counts too: being close to the limit is no aim
            saved = sum((budget.cost(arch) - budget.cost(other)) / budget.limit for budget in unmet)
            return (self.objective(other) - here) / saved

        for count in (1, 2):
            cheaper = [other for other in self.changed(arch, count) if excess_of(other) < over]
            if cheaper:
                return min(cheaper, key=loss_per_saving)
        return None

    def _better(self, arch: Any, budgets: Sequence[Budget]) -> Any:
        """Return the change within the budgets that lowers the objective most, or None."""
        here = self.objective(arch)
        for count in (1, 2):
            values = [(self.objective(other), other) for other in self.changed(arch, count)]
            for value, other in sorted(values, key=lambda pair: pair[0]):
                if value >= here - _EQUAL:
                    break
                if self._meets(budgets, other):
                    return other
        return None

    def _meets(self, budgets: Sequence[Budget], arch: Any) -> bool:
        self.passed[arch] = None
        return _meets(budgets, arch)

    def _passing(self, value: Callable[[Any], float]) -> Callable[[Any], float]:
        """Return a function of an architecture that records it in :attr:`passed`."""

        def recorded(arch: Any) -> float:
            self.passed[arch] = None
            return value(arch)

        return recorded


def _meets(budgets: Sequence[Budget], arch: Any) -> bool:
    return all(budget.allows(arch) for budget in budgets)


def _without_ties(allowed: Iterator[tuple[float, Any]], cost: Cost) -> list[tuple[float, Any]]:
    """Return the cheapest of the equally good first architectures, at most one."""
    ties = list(islice(allowed, 1))
    for value, arch in islice(allowed, _TIED - 1):
        if value > ties[0][0] + _EQUAL:
            break
        ties.append((value, arch))
    return [min(ties, key=lambda pair: cost(pair[1]))] if len(ties) > 1 else ties


def _smallest(options: tuple[Any, ...]) -> Any:
    return min(options) if all(isinstance(option, (int, float)) for option in options) else options[0]
