"""Knapsack: one option of each group, with the least sum of values within limits on several costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from elasticnas.cost.combinations import Array, Rows

__all__ = ["Group", "Knapsack", "knapsack"]

_FIRST, _MOST = 1_000, 100_000  # partial choices that are kept: at first, and then to prove the minimum
_SWEEPS, _DOUBLINGS, _HALVINGS = 3, 60, 30  # of the search for multipliers
_CHECKED = 20_000  # most complete choices whose validity is checked
_EQUAL = 1e-12  # relative


@dataclass(frozen=True, eq=False)
class Group:
    """Options of which one is chosen.

    Attributes:
        positions: Positions of the choices that the options set.
        options: Option indices of these choices ``(options, choices)``.
        values: ``(options,)``, to be minimised.
        costs: ``(options, limits)``.
    """

    positions: tuple[int, ...]
    options: Rows
    values: Array
    costs: Array


@dataclass(frozen=True, eq=False)
class Knapsack:
    """A multiple-choice knapsack problem with one or more limits; :func:`knapsack` makes one.

    Partial choices are extended group by group, and dropped as soon as a bound shows that they exceed a limit or cannot
    be among the best. The bound is Lagrangian: the limits are relaxed with multipliers that maximise it.

    Attributes:
        row: Option indices of all choices ``(choices,)``; those of the groups are replaced.
        fixed: Value of the choices that are in no group.
        groups: The groups, with costs above those of the cheapest option, as shares of ``limits``.
        limits: What remains of each limit: 1, or 0 if nothing does.
        multipliers: One for each limit, not negative.
        bound: No choice has a lower value.
    """

    row: Rows
    fixed: float
    groups: tuple[Group, ...]
    limits: Array
    multipliers: Array
    bound: float

    def best(self, count: int, worst: float, valid: Callable[[Rows], bool]) -> tuple[list[Rows], bool]:
        """Return the rows with the lowest values below ``worst``, at most ``count``, and whether none is missing.

        Args:
            count: The number of rows.
            worst: Rows of this value or more are not needed.
            valid: Returns whether the rules allow a row.
        """
        found, complete = self._search(count, worst, _FIRST, valid)
        if not complete:
            if len(found) == count:
                worst = min(worst, found[-1][0] + _EQUAL * max(1.0, abs(found[-1][0])))
            more, complete = self._search(count, worst, _MOST, valid)
            every = {row.tobytes(): (value, row) for value, row in [*found, *more]}
            found = sorted(every.values(), key=lambda pair: pair[0])[:count]
        return [row for _, row in found], complete

    def _search(
        self, count: int, worst: float, most: int, valid: Callable[[Rows], bool]
    ) -> tuple[list[tuple[float, Rows]], bool]:
        relaxed = self.multipliers, np.zeros_like(self.multipliers)
        rest = [_lowest_of_rest(self.groups, multipliers) for multipliers in relaxed]
        values, costs = np.array([self.fixed]), np.zeros((1, len(self.limits)))
        steps: list[tuple[Rows, Rows]] = []
        complete = True
        for level, group in enumerate(self.groups, 1):
            values = (values[:, None] + group.values).reshape(-1)
            costs = (costs[:, None] + group.costs).reshape(len(values), len(self.limits))
            bounds = np.max(
                [values + (costs - self.limits) @ m + r[level] for m, r in zip(relaxed, rest, strict=True)], axis=0
            )
            kept = np.flatnonzero((costs <= self.limits + _EQUAL).all(axis=1) & (bounds < worst))
            if len(kept) > most:
                complete = False
                kept = np.sort(kept[np.argpartition(bounds[kept], most)[:most]])
            values, costs = values[kept], costs[kept]
            steps.append((kept // len(group.values), kept % len(group.values)))
        found: list[tuple[float, Rows]] = []
        order = np.argsort(values, kind="stable").tolist()
        for index in order[:_CHECKED]:
            if len(found) == count:
                return found, complete
            row = self._row(steps, index)
            if valid(row):
                found.append((float(values[index]), row))
        return found, complete and (len(found) == count or len(order) <= _CHECKED)

    def _row(self, steps: Sequence[tuple[Rows, Rows]], index: int) -> Rows:
        row: Rows = self.row.copy()
        for group, (parents, chosen) in zip(reversed(self.groups), reversed(steps), strict=True):
            row[list(group.positions)] = group.options[chosen[index]]
            index = int(parents[index])
        return row


def knapsack(row: Rows, fixed: float, groups: Sequence[Group], limits: Array) -> "Knapsack | None":
    """Make a problem; None if nothing is within the limits.

    Args:
        row: Option indices of all choices.
        fixed: Value of the choices that are in no group.
        groups: The groups, with costs relative to those of ``row``, in their units; infinite values exclude options.
        limits: What remains of the limits for the groups ``(limits,)``.
    """
    groups = [_possible(group) for group in groups]
    if any(len(group.values) == 0 for group in groups):
        return None
    room = limits - sum((group.costs.min(axis=0) for group in groups), np.zeros(len(limits)))
    if (room < 0).any():
        return None
    scale = np.where(room > 0, room, 1.0)
    scaled = [replace(group, costs=(group.costs - group.costs.min(axis=0)) / scale) for group in groups]
    ends = np.where(room > 0, 1.0, 0.0)
    multipliers = _multipliers(scaled, ends)
    bound = fixed + max(_dual(scaled, ends, m) for m in (multipliers, np.zeros_like(multipliers)))
    scaled.sort(key=lambda group: -float(np.ptp(group.values + group.costs @ multipliers)))
    return Knapsack(row, fixed, tuple(scaled), ends, multipliers, bound)


def _possible(group: Group) -> Group:
    kept = np.isfinite(group.values)
    return replace(group, options=group.options[kept], values=group.values[kept], costs=group.costs[kept])


def _lowest_of_rest(groups: Sequence[Group], multipliers: Array) -> Array:
    """Return, for each number of groups that are decided, the lowest relaxed value of all others."""
    lowest = [float((group.values + group.costs @ multipliers).min()) for group in groups]
    return np.concatenate([np.cumsum(lowest[::-1])[::-1], [0.0]]) if lowest else np.zeros(1)


def _dual(groups: Sequence[Group], limits: Array, multipliers: Array) -> float:
    return float(_lowest_of_rest(groups, multipliers)[0] - limits @ multipliers)


def _multipliers(groups: Sequence[Group], limits: Array) -> Array:
    """Return multipliers that nearly maximise the Lagrangian bound, by bisection of one after the other.

    The bound is concave; its slope in a multiplier is the cost of the relaxed choice less the limit.
    """
    found = np.zeros(len(limits))
    for _ in range(_SWEEPS if len(limits) > 1 else 1):
        for place, limit in enumerate(limits):

            def is_over(multiplier: float, place: int = place, limit: float = limit) -> bool:
                found[place] = multiplier
                return _relaxed_cost(groups, found, place) > limit

            found[place] = _least(is_over, sum(float(np.ptp(group.values)) for group in groups))
    return found


def _least(is_over: Callable[[float], bool], scale: float) -> float:
    """Return about the least multiplier from 0 with which the relaxed choice is within the limit."""
    if not is_over(0.0) or scale == 0:
        return 0.0
    low, high = 0.0, scale
    for _ in range(_DOUBLINGS):
        if not is_over(high):
            break
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_over(middle) else (low, middle)
    return high


def _relaxed_cost(groups: Sequence[Group], multipliers: Array, place: int) -> float:
    chosen = (int((group.values + group.costs @ multipliers).argmin()) for group in groups)
    return float(sum(group.costs[index, place] for group, index in zip(groups, chosen, strict=True)))
