"""Exact minimum of an objective within budgets whose costs are sums over the choices, given a few of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import product
from math import prod
from typing import Any

import numpy as np

from elasticnas.cost.budget import Budget
from elasticnas.cost.combinations import Array, Combinations, Mask, Rows
from elasticnas.cost.knapsack import Group, Knapsack, knapsack
from elasticnas.cost.layered import LayeredCost
from elasticnas.cost.objective import Objective
from elasticnas.cost.surrogate import Surrogate

__all__ = ["Separable", "separable"]

_JOINT = 4_096  # most combinations of the choices that are enumerated
_MERGED = 4_096  # most combinations of choices that pairs connect
_ROUNDING = 1e-9  # relative, as that of budgets


@dataclass(frozen=True, eq=False)
class Separable:
    """Minimises an objective: some choices are enumerated, the others form a knapsack problem for each combination.

    The enumerated (joint) choices are those that the surrogate of a cost tabulates jointly, and those that set a number
    of layers. Given them, costs are sums over the other choices, and so is the objective, where choices that a pair of
    the objective connects count as one.

    Attributes:
        objective: The objective.
        combinations: All combinations of the choices of the objective.
        surrogates: One for each budget, without a residual.
        limits: The limits, with the budgets' allowance for rounding.
    """

    objective: Objective
    combinations: Combinations
    surrogates: tuple[Surrogate | LayeredCost, ...]
    limits: Array

    def best(self, count: int) -> tuple[list[Any], bool]:
        """Return the best architectures within the limits, the best first, and whether they are proven to be.

        Fewer than ``count`` are returned if there are no more.
        """
        problems = sorted(filter(None, map(self._problem, self._joint_rows())), key=lambda each: each.bound)
        found: list[tuple[float, Any]] = []
        proven = True
        for problem in problems:
            worst = found[count - 1][0] if len(found) >= count else np.inf
            if problem.bound >= worst:
                break
            rows, complete = problem.best(count, worst, self._valid)
            proven &= complete
            archs = [self._arch(row) for row in rows]
            found += [(self.objective(arch), arch) for arch in archs]
            found = sorted(found, key=lambda pair: pair[0])[:count]
        return [arch for _, arch in found], proven

    @cached_property
    def joint(self) -> tuple[int, ...]:
        """Positions of the enumerated choices."""
        return joint_positions(self.objective, self.surrogates)

    def _joint_rows(self) -> Iterator[Rows]:
        counts = self.combinations.counts
        for options in product(*(range(counts[position]) for position in self.joint)):
            row = self.combinations.base.copy()
            row[list(self.joint)] = options
            present = present_names(self.objective, row, self.joint)
            absent = [p for p in self.joint if self.objective.names[p] not in present]
            if (row[absent] != self.combinations.base[absent]).any():
                continue  # the options of absent layers make no other architecture
            if all(surrogate.allows(row[None])[0] for surrogate in self.surrogates):
                yield row

    def _problem(self, row: Rows) -> "Knapsack | None":
        names, values = self.objective.names, self.objective.values
        present = present_names(self.objective, row, self.joint)
        joint = set(self.joint)
        at = {name: int(row[position]) for position, name in enumerate(names)}

        def single(name: str) -> Array:
            own = np.array(values[name])
            for (one, other), table in self.objective.pairs.items():
                if name == other and one in present and names.index(one) in joint:
                    own = own + table[at[one]]
                elif name == one and other in present and names.index(other) in joint:
                    own = own + table[:, at[other]]
            return own

        fixed = sum(
            values[names[position]][row[position]]
            if names[position] in present
            else self.objective.absent.get(names[position], 0.0)
            for position in joint
        )
        fixed += sum(
            float(table[at[one], at[other]])
            for (one, other), table in self.objective.pairs.items()
            if {names.index(one), names.index(other)} <= joint and {one, other} <= present
        )
        absent = [n for position, n in enumerate(names) if n not in present and position not in joint]
        fixed += sum(self.objective.absent.get(name, 0.0) for name in absent)
        if not np.isfinite(fixed):
            return None
        groups = [
            [position for position in group if names[position] in present]
            for group in merged(self.objective, tuple(sorted(joint)), self.surrogates)
        ]
        start = np.array([surrogate.values(row[None])[0] for surrogate in self.surrogates])
        parts = [self._group(row, start, group, single) for group in groups if group]
        return knapsack(row, float(fixed), parts, self.limits - start)

    def _group(self, row: Rows, start: Array, group: Sequence[int], single: Callable[[str], Array]) -> Group:
        names = self.objective.names
        counts = self.combinations.counts
        options = np.array(list(product(*(range(counts[position]) for position in group))), dtype=np.intp)
        idle = self._idle(group, options)
        own = [
            np.where(idle[:, place], self.objective.absent.get(names[position], 0.0), single(names[position])[chosen])
            for place, (position, chosen) in enumerate(zip(group, options.T, strict=True))
        ]
        values = reduce(np.add, own)
        for (one, other), table in self.objective.pairs.items():
            here = [names.index(one), names.index(other)]
            if set(here) <= set(group):
                first, second = map(group.index, here)
                both = ~(idle[:, first] | idle[:, second])
                values = values + both * table[options[:, first], options[:, second]]
        values[(idle & (options > 0)).any(axis=1)] = np.inf  # the same architecture as with the first option
        rows = np.repeat(row[None], len(options), axis=0)
        rows[:, list(group)] = options
        each = [s.values(rows) - at_row for s, at_row in zip(self.surrogates, start.tolist(), strict=True)]
        costs = np.array(each).reshape(len(each), len(rows)).T
        impossible = ~np.isfinite(costs).all(axis=1)
        values[impossible], costs[impossible] = np.inf, 0.0
        return Group(tuple(group), options, values, costs)

    def _idle(self, group: Sequence[int], options: Rows) -> Mask:
        """Return where a choice ``(options, choices)`` is absent because of another one of the group."""
        idle = np.zeros(options.shape, dtype=np.bool_)
        for position, deciding, without in _deciding(self.objective):
            if {position, deciding} <= set(group):
                idle[:, group.index(position)] = options[:, group.index(deciding)] == without
        return idle

    def _valid(self, row: Rows) -> bool:
        return self._arch(row) is not None

    def _arch(self, row: Rows) -> Any:
        return self.combinations.architecture(row)


def separable(objective: Objective, budgets: Sequence[Budget]) -> "Separable | None":
    """Return the solver of an objective within budgets; None if a cost is no such sum, or too much is connected.

    The first call for a cost computes the costs of some hundred architectures, unless an expected cost has done it.
    """
    space, names = objective.space, objective.names
    base = space.largest()
    fitted = [budget.cost.separable(names, base) for budget in budgets]
    surrogates = tuple(surrogate for surrogate in fitted if surrogate is not None)
    if len(surrogates) < len(fitted):
        return None
    combinations = Combinations(lambda arch: 0.0, space, names, base)
    counts, joint = combinations.counts, joint_positions(objective, surrogates)
    groups = merged(objective, joint, surrogates)
    if prod(counts[p] for p in joint) > _JOINT or any(prod(counts[p] for p in g) > _MERGED for g in groups):
        return None
    limits = np.array([budget.limit for budget in budgets]) * (1 + _ROUNDING)
    return Separable(objective, combinations, surrogates, limits)


def joint_positions(objective: Objective, surrogates: Sequence[Surrogate | LayeredCost]) -> tuple[int, ...]:
    """Return the positions of choices to enumerate: those that interact in a cost, and numbers of layers.

    A choice that decides whether an enumerated one is present is enumerated, too.
    """
    names = objective.names
    lengths = {item.length_of for item in objective.space.info().declared if item.choice.name in objective.values}
    counting = {position for position, name in enumerate(names) if name in lengths}
    joint = counting.union(*(surrogate.joint for surrogate in surrogates))
    deciding = {decides for position, decides, _ in _deciding(objective) if position in joint}
    return tuple(sorted(joint | deciding))


def present_names(objective: Objective, row: Rows, joint: Sequence[int]) -> set[str]:
    """Return the names of the choices that are present, given the joint options of a row of option indices.

    Choices whose presence depends on a choice that is not joint are among them.
    """
    space = objective.space
    choices = {choice.name: choice for choice in space.choice_list()}
    chosen = {n: choices[n].options[i] for n, i in zip(objective.names, row.tolist(), strict=True)}
    assignment = space.assignment(space.largest()) | chosen
    declared = [item for item in space.info().declared if item.choice.name in objective.values]
    undecided = {objective.names[position] for position, deciding, _ in _deciding(objective) if deciding not in joint}
    return {
        item.choice.name
        for item in declared
        if (item.in_layer(assignment) if item.choice.name in undecided else item.active(assignment))
    }


def merged(
    objective: Objective, joint: Sequence[int], surrogates: Sequence[Surrogate | LayeredCost] = ()
) -> list[list[int]]:
    """Return groups of the other positions.

    Those in one group are connected by pairs of the objective or in a cost, or one makes another absent.
    """
    names = objective.names
    groups = [[position] for position in range(len(names)) if position not in joint]
    tied = [{names.index(one), names.index(other)} for one, other in objective.pairs]
    tied += [{position, deciding} for position, deciding, _ in _deciding(objective)]
    tied += [set(group) for surrogate in surrogates for group in surrogate.groups]
    for connected in tied:
        touched = [group for group in groups if connected & set(group)]
        if len(touched) > 1:
            joined = sorted(position for group in touched for position in group)
            groups = [group for group in groups if group not in touched] + [joined]
    return groups


def _deciding(objective: Objective) -> list[tuple[int, int, int]]:
    """Return positions of a choice and of the one that can make it absent, and the index of the option that does."""
    names = objective.names
    return [
        (names.index(item.choice.name), names.index(item.unless[0].name), item.unless[1])
        for item in objective.space.info().declared
        if item.unless is not None and {item.choice.name, item.unless[0].name} <= objective.values.keys()
    ]
