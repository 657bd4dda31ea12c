"""Surrogate: an approximation of a cost whose expectation has a closed form."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations as combinations_of
from itertools import product
from math import prod
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from elasticnas.cost.combinations import Array, Combinations, Mask, Rows
from elasticnas.errors import ArchitectureError, SpaceError

__all__ = ["Surrogate", "fit_surrogate", "zero_weight_error"]

_COSTS = 2_000  # most architectures of a fit
_ROUNDING = 1e-9  # relative
_RatioOf: TypeAlias = Callable[[Combinations, Rows, Rows, Sequence[int]], Array]


@dataclass(frozen=True, eq=False)
class Surrogate:
    """``level(joint options) + sum of change(joint options, option)`` over the separate choices.

    It is exact if each separate choice interacts with joint choices only, and these scale its change of the cost. That
    holds for FLOPs and parameters of a transformer, where the widths of layers interact with ``hidden`` and ``depth``
    but not with each other.

    Attributes:
        combinations: The combinations that it is fitted to.
        joint: Positions of the choices that are tabulated jointly.
        separate: Positions of the other choices.
        level: ``(joint combinations,)``.
        change: ``(joint combinations, options of the first separate choice + of the second + ...)``.
        allowed: ``(joint combinations,)``; False if no architecture has the joint combination.
    """

    combinations: Combinations
    joint: tuple[int, ...]
    separate: tuple[int, ...]
    level: Array
    change: Array
    allowed: Mask

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Positions of choices whose changes do not add up although they are not joint: there are none."""
        return ()

    def expected(self, probabilities: Sequence[Tensor]) -> Tensor:
        """Return its expectation ``()`` over the combinations with allowed joint options, differentiable.

        Args:
            probabilities: Probabilities of each choice ``(options,)``, float64, summing to 1.

        Raises:
            ArchitectureError: All these combinations have probability 0.
        """
        weights = self._joint(probabilities)
        values = torch.from_numpy(self.level)
        if self.separate:
            flat = torch.cat([probabilities[position] for position in self.separate])
            values = values + torch.from_numpy(self.change) @ flat
        return (weights * values).sum()

    def independent(self, probabilities: Sequence[Tensor]) -> list[Array]:
        """Return the probabilities of independent draws: of the joint combinations, and of each separate choice."""
        separate = [probabilities[position] for position in self.separate]
        return [np.array(p.tolist(), dtype=np.float64) for p in (self._joint(probabilities).detach(), *separate)]

    def rows(self, drawn: Rows) -> Rows:
        """Return combinations ``(rows, choices)`` from independent draws ``(rows, 1 + separate choices)``."""
        found = np.zeros((len(drawn), len(self.combinations.counts)), dtype=np.intp)
        counts = [self.combinations.counts[position] for position in self.joint]
        if counts:
            found[:, self.joint] = np.stack(np.unravel_index(drawn[:, 0], counts), axis=1)
        found[:, self.separate] = drawn[:, 1:]
        return found

    def _joint(self, probabilities: Sequence[Tensor]) -> Tensor:
        weights = torch.ones(1, dtype=torch.float64)
        for position in self.joint:
            weights = (weights.unsqueeze(-1) * probabilities[position]).flatten()
        weights = weights * torch.from_numpy(self.allowed)
        total = weights.sum()
        if float(total.detach()) <= 0:
            raise zero_weight_error(self.combinations)
        return weights / total

    def values(self, rows: Rows) -> Array:
        """Return the value at combinations ``(rows, choices)``, possible or not."""
        joint = self.combinations.index(rows, self.joint)
        return self.level[joint] + sum(
            (self.change[joint, start + rows[:, position]] for position, start in self._starts()), np.zeros(len(rows))
        )

    def allows(self, rows: Rows) -> Mask:
        """Return whether the joint options of combinations ``(rows, choices)`` are allowed."""
        allowed: Mask = self.allowed[self.combinations.index(rows, self.joint)]
        return allowed

    def _starts(self) -> list[tuple[int, int]]:
        counts = [self.combinations.counts[position] for position in self.separate]
        return list(zip(self.separate, np.cumsum([0, *counts[:-1]]).tolist(), strict=True)) if counts else []


def zero_weight_error(combinations: Combinations) -> ArchitectureError:
    """Return the error for probabilities that are 0 for every possible combination."""
    names = ", ".join(choice.name for choice in combinations.choices)
    return ArchitectureError(
        f"the probabilities of {names} give no weight to any combination that {combinations.space.__name__} has"
    )


def fit_surrogate(combinations: Combinations, shared: bool = False) -> Surrogate:
    """Fit a surrogate to about 2,000 architectures at most (more if there are more options).

    Args:
        combinations: The combinations.
        shared: Whether to assume that a joint choice scales the changes by all options of a field, in all layers that
            are present, by the same factor. Far fewer architectures are needed; check the residual.
    """
    joint = _joint_positions(combinations)
    separate = tuple(position for position in range(len(combinations.counts)) if position not in joint)
    change = _joint_changes(combinations, joint, separate, _shared_ratio if shared else _ratio)
    allowed, anchors = _anchors(combinations, joint)
    level = np.full(len(anchors), np.nan)
    found = Surrogate(combinations, joint, separate, np.zeros(len(anchors)), change, allowed)
    for index, row in enumerate(anchors):
        if row is not None:
            level[index] = combinations.costs(row[None])[0] - found.values(row[None])[0]
    return replace(found, level=np.where(np.isnan(level), np.nanmean(level), level))


def _joint_changes(combinations: Combinations, joint: Sequence[int], separate: Sequence[int], ratio: _RatioOf) -> Array:
    """Compute the change of cost by each option of the separate choices, for all joint combinations.

    It is the change at the base times one factor for each joint choice: ``hidden``, for example, scales the change by a
    width. A factor is measured at the base or, if a rule forbids the option there, at another architecture with it.
    """
    changes = _all_changes(combinations, combinations.base, separate)[None]
    for position in joint:
        pairs = _pairs(combinations, joint, position)
        factors = [
            np.ones(changes.shape[-1]) if pair is None else ratio(combinations, *pair, separate) for pair in pairs
        ]
        changes = (changes[:, None] * np.stack(factors)).reshape(len(changes) * len(factors), changes.shape[-1])
    return changes


def _ratio(combinations: Combinations, one: Rows, other: Rows, separate: Sequence[int]) -> Array:
    """Return the changes by the options of the separate choices at one row, as shares of those at another."""
    below = _all_changes(combinations, other, separate)
    found: Array = _all_changes(combinations, one, separate) / np.where(below == 0, 1.0, below)
    return found


def _shared_ratio(combinations: Combinations, one: Rows, other: Rows, separate: Sequence[int]) -> Array:
    """Return :func:`_ratio` if it is 0 for absent layers, and otherwise the same for all options of a field."""
    present = combinations.space.present(combinations.architecture(one))
    names = [combinations.choices[position].name for position in separate]
    factors: dict[str, float] = {}
    for position, name in zip(separate, names, strict=True):
        field = _field(name)
        if field not in factors and name in present:
            below = _changes(combinations, combinations.base, position)
            rows = np.stack([one, one, other, other])
            rows[[1, 3], position] = int(np.abs(below).argmax())
            before, after, other_before, other_after = combinations.costs(rows)
            factors[field] = (after - before) / ((other_after - other_before) or 1.0)
    parts = [
        np.full(combinations.counts[position], factors[_field(name)] if name in present else 0.0)
        for position, name in zip(separate, names, strict=True)
    ]
    found: Array = np.nan_to_num(np.concatenate([np.zeros(0), *parts]))
    return found


def _field(name: str) -> str:
    field, _, layer = name.rpartition(".")
    return field if layer.isdigit() else name


def _pairs(combinations: Combinations, joint: Sequence[int], position: int) -> list[tuple[Rows, Rows] | None]:
    """Return for each option of a joint choice two possible rows that differ in it alone: with it, with the base's."""
    rows = _with_each_option(combinations, combinations.base, position)
    possible = combinations.possible(rows).tolist()
    found: dict[tuple[int, ...], Any] = {}
    if not all(possible):
        with suppress(SpaceError):
            found = dict(combinations.space.projections((combinations.choices[position],)))
    pairs: list[tuple[Rows, Rows] | None] = []
    for option, row in enumerate(rows):
        one, other = row.copy(), combinations.base.copy()
        if not possible[option] and (option,) in found:
            one[list(joint)] = combinations.row(found[option,])[list(joint)]
            other[list(joint)] = one[list(joint)]
            other[position] = combinations.base[position]
        pairs.append((one, other) if combinations.possible(np.stack([one, other])).all() else None)
    return pairs


def _joint_positions(combinations: Combinations) -> tuple[int, ...]:
    """Return positions to tabulate jointly, so that the others have no common rule and additive changes."""
    far, tied = _farthest(combinations), _tied(combinations)
    joint: list[int] = []
    for position in _by_interaction(combinations, far, tied):
        if tied <= set(joint) and _is_additive(combinations, far, joint):
            break
        if _evaluations(combinations, [*joint, position]) <= _COSTS:
            joint.append(position)
    return tuple(sorted(joint))


def _evaluations(combinations: Combinations, joint: Sequence[int]) -> int:
    """Return the number of architectures whose cost a fit needs."""
    others = [count - 1 for count in combinations.counts]
    separate = sum(count for position, count in enumerate(others) if position not in joint)
    tabulated = prod(combinations.counts[position] for position in joint)
    return tabulated + (1 + sum(others[position] for position in joint)) * separate


def _farthest(combinations: Combinations) -> Rows:
    """Return for each choice the option that changes the cost of the base most, by itself."""
    changes = (_changes(combinations, combinations.base, position) for position in range(len(combinations.counts)))
    return np.array([int(np.abs(change).argmax()) for change in changes], dtype=np.intp)


def _tied(combinations: Combinations) -> set[int]:
    """Return positions of choices with an option, or a pair of options under a common rule, forbidden at the base."""
    counts, base = combinations.counts, combinations.base
    found = {
        position
        for position in range(len(counts))
        if not combinations.possible(_with_each_option(combinations, base, position)).all()
    }
    read = [part.read for part in combinations.space.info().architectures.components]
    for one, other in combinations_of(range(len(counts)), 2):
        names = {combinations.choices[one].name, combinations.choices[other].name}
        if not any(names <= together for together in read):
            continue
        rows = np.repeat(base[None], counts[one] * counts[other], axis=0)
        rows[:, one], rows[:, other] = np.divmod(np.arange(len(rows)), counts[other])
        if not combinations.possible(rows).all():
            found |= {one, other}
    return found


def _by_interaction(combinations: Combinations, far: Rows, tied: set[int]) -> list[int]:
    """Order positions: tied ones first, layers last, among equals by interaction.

    The interaction is how much the change by a choice differs if all other choices are far from the base.
    """
    base = combinations.base
    order = []
    for position, choice in enumerate(combinations.choices):
        only, all_but = base.copy(), far.copy()
        only[position], all_but[position] = far[position], base[position]
        at_base, with_only, with_all_but, at_far = combinations.costs(np.stack([base, only, all_but, far]))
        score = np.nan_to_num(abs((at_far - with_all_but) - (with_only - at_base)))
        order.append((choice.name.rpartition(".")[2].isdigit(), position not in tied, -score, position))
    return [position for *_, position in sorted(order)]


def _is_additive(combinations: Combinations, far: Rows, joint: Sequence[int]) -> bool:
    """Return whether the changes by the separate choices add up, with the joint ones at the base and far from it."""
    separate = [position for position in range(len(far)) if position not in joint]
    for start in (combinations.base, far):
        row, moved = combinations.base.copy(), far.copy()
        row[joint], moved[joint] = start[joint], start[joint]
        here, there = combinations.costs(np.stack([row, moved]))
        single = sum(_changes(combinations, row, position)[far[position]] for position in separate)
        if not abs(there - here - single) <= _ROUNDING * abs(here):
            return False
    return True


def _anchors(combinations: Combinations, joint: Sequence[int]) -> tuple[Mask, list[Rows | None]]:
    """Return which joint combinations are allowed, and a possible row for each, as close to the base as possible."""
    counts = [combinations.counts[position] for position in joint]
    found: dict[tuple[int, ...], Any] = {}
    with suppress(SpaceError):  # not known: all are allowed then, and forbidden draws are repeated
        found = dict(combinations.space.projections(tuple(combinations.choices[position] for position in joint)))
    allowed, anchors = [], []
    for options in product(*map(range, counts)):
        allowed.append(not found or options in found)
        anchors.append(_anchor(combinations, joint, options, found.get(options)) if allowed[-1] else None)
    return np.array(allowed), anchors


def _anchor(combinations: Combinations, joint: Sequence[int], options: Sequence[int], arch: Any) -> Rows | None:
    row = combinations.base.copy()
    row[list(joint)] = options
    rows = [row] if arch is None else [row, combinations.row(arch)]
    return next(
        (row for row, possible in zip(rows, combinations.possible(np.stack(rows)), strict=True) if possible), None
    )


def _all_changes(combinations: Combinations, row: Rows, positions: Sequence[int]) -> Array:
    found: Array = np.concatenate([np.zeros(0), *(_changes(combinations, row, position) for position in positions)])
    return found


def _changes(combinations: Combinations, row: Rows, position: int) -> Array:
    """Return the change of a row's cost by each option of one choice; 0 if a rule forbids it."""
    costs = combinations.costs(_with_each_option(combinations, row, position))
    changes: Array = np.nan_to_num(costs - costs[row[position]])
    return changes


def _with_each_option(combinations: Combinations, row: Rows, position: int) -> Rows:
    rows = np.repeat(row[None], combinations.counts[position], axis=0)
    rows[:, position] = np.arange(combinations.counts[position])
    return rows
