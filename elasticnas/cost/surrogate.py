"""Surrogate: a cost taken apart so that its expectation is a contraction; what it misses is sampled."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations as combinations_of
from itertools import product
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elasticnas.cost.combinations import Array, Combinations, Mask, Rows
from elasticnas.errors import ArchitectureError, SpaceError

__all__ = ["Surrogate", "fitted", "no_weight"]

_COSTS = 2_000
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Surrogate:
    """``level(joint options) + sum of change(joint options, option)`` over the other choices.

    Exact for a cost in which each of the other choices interacts with the joint ones alone, and these multiply what it
    adds: a transformer's FLOPs and parameters, where widths of layers interact with ``hidden`` and ``depth`` and not
    with each other.

    Attributes:
        combinations: What it is fitted to.
        joint: Positions of the choices taken together.
        apart: Positions of the others.
        level: ``(joint combinations,)``.
        change: ``(joint combinations, options of the first other choice + of the second + ...)``.
        allowed: ``(joint combinations,)``; false where no architecture has the combination.
    """

    combinations: Combinations
    joint: tuple[int, ...]
    apart: tuple[int, ...]
    level: Array
    change: Array
    allowed: Mask

    def expected(self, probabilities: Sequence[Tensor]) -> Tensor:
        """Its expectation ``()`` over the combinations whose joint options are allowed, with gradients.

        Args:
            probabilities: Of each choice ``(options,)``, float64, summing to 1.

        Raises:
            ArchitectureError: The probabilities give no weight to any of these.
        """
        weights = self._joint(probabilities)
        moved = torch.from_numpy(self.level)
        if self.apart:
            flat = torch.cat([probabilities[position] for position in self.apart])
            moved = moved + torch.from_numpy(self.change) @ flat
        return (weights * moved).sum()

    def independent(self, probabilities: Sequence[Tensor]) -> list[Array]:
        """Probabilities of what is drawn independently: a joint combination, and each of the other choices."""
        apart = [probabilities[position] for position in self.apart]
        return [np.array(p.tolist(), dtype=np.float64) for p in (self._joint(probabilities).detach(), *apart)]

    def rows(self, drawn: Rows) -> Rows:
        """Combinations ``(rows, choices)`` from positions in what is drawn independently ``(rows, 1 + others)``."""
        found = np.zeros((len(drawn), len(self.combinations.counts)), dtype=np.intp)
        counts = [self.combinations.counts[position] for position in self.joint]
        if counts:
            found[:, self.joint] = np.stack(np.unravel_index(drawn[:, 0], counts), axis=1)
        found[:, self.apart] = drawn[:, 1:]
        return found

    def _joint(self, probabilities: Sequence[Tensor]) -> Tensor:
        weights = torch.ones(1, dtype=torch.float64)
        for position in self.joint:
            weights = (weights.unsqueeze(-1) * probabilities[position]).flatten()
        weights = weights * torch.from_numpy(self.allowed)
        total = weights.sum()
        if float(total.detach()) <= 0:
            raise no_weight(self.combinations)
        return weights / total

    def values(self, rows: Rows) -> Array:
        """At combinations ``(rows, choices)``, possible or not."""
        at = self.index(rows)
        return self.level[at] + sum(
            (self.change[at, start + rows[:, position]] for position, start in self._starts()), np.zeros(len(rows))
        )

    def allows(self, rows: Rows) -> Mask:
        """Whether the joint options of combinations ``(rows, choices)`` are allowed."""
        allowed: Mask = self.allowed[self.index(rows)]
        return allowed

    def index(self, rows: Rows) -> Rows:
        """The joint combination of each row."""
        found = np.zeros(len(rows), dtype=np.intp)
        for position in self.joint:
            found = found * self.combinations.counts[position] + rows[:, position]
        return found

    def _starts(self) -> list[tuple[int, int]]:
        counts = [self.combinations.counts[position] for position in self.apart]
        return list(zip(self.apart, np.cumsum([0, *counts[:-1]]).tolist(), strict=True)) if counts else []


def no_weight(combinations: Combinations) -> ArchitectureError:
    """The error of probabilities that leave nothing possible."""
    names = ", ".join(choice.name for choice in combinations.choices)
    return ArchitectureError(
        f"the probabilities of {names} give no weight to any combination that {combinations.space.__name__} has"
    )


def fitted(combinations: Combinations) -> Surrogate:
    """The surrogate of a cost, from about 2,000 architectures at most (one for each option, where that is more)."""
    joint = _interacting(combinations)
    apart = tuple(position for position in range(len(combinations.counts)) if position not in joint)
    change = _joint_changes(combinations, joint, apart)
    allowed, anchors = _anchors(combinations, joint)
    level = np.full(len(anchors), np.nan)
    found = Surrogate(combinations, joint, apart, np.zeros(len(anchors)), change, allowed)
    for index, row in enumerate(anchors):
        if row is not None:
            level[index] = combinations.costs(row[None])[0] - found.values(row[None])[0]
    return replace(found, level=np.where(np.isnan(level), np.nanmean(level), level))


def _joint_changes(combinations: Combinations, joint: Sequence[int], apart: Sequence[int]) -> Array:
    """What each option of the others adds, for all joint combinations: a product of factors, one for each joint choice.

    The factors are those around the base: ``hidden`` and whether ``depth`` has the layer multiply what a width adds.
    """
    changes = _all_changes(combinations, combinations.base, apart)[None]
    alone = np.where(changes[0] == 0, 1.0, changes[0])
    for position in joint:
        rows = _with_each_option(combinations, combinations.base, position)
        possible = combinations.possible(rows)
        factors = [
            _all_changes(combinations, row, apart) / alone if may else np.ones_like(alone)
            for row, may in zip(rows, possible, strict=True)
        ]
        changes = (changes[:, None] * np.stack(factors)).reshape(len(changes) * len(factors), len(alone))
    return changes


def _interacting(combinations: Combinations) -> tuple[int, ...]:
    """Positions to take together, until no rule is seen to tie the others and their changes add up."""
    far, tied = _far(combinations), _tied(combinations)
    joint: list[int] = []
    for position in _by_interaction(combinations, far, tied):
        if tied <= set(joint) and _add_up(combinations, far, joint):
            break
        if _evaluations(combinations, [*joint, position]) <= _COSTS:
            joint.append(position)
    return tuple(sorted(joint))


def _evaluations(combinations: Combinations, joint: Sequence[int]) -> int:
    """Architectures whose cost a fit needs."""
    more = [count - 1 for count in combinations.counts]
    apart = sum(count for position, count in enumerate(more) if position not in joint)
    together = prod(combinations.counts[position] for position in joint)
    return together + (1 + sum(more[position] for position in joint)) * apart


def _far(combinations: Combinations) -> Rows:
    """Of each choice the option that alone changes the cost of the base most."""
    changes = (_changes(combinations, combinations.base, position) for position in range(len(combinations.counts)))
    return np.array([int(np.abs(change).argmax()) for change in changes], dtype=np.intp)


def _tied(combinations: Combinations) -> set[int]:
    """Positions of which a rule forbids an option, or two together, around the base."""
    counts, base = combinations.counts, combinations.base
    found: set[int] = set()
    for one, other in combinations_of(range(len(counts)), 2):
        rows = np.repeat(base[None], counts[one] * counts[other], axis=0)
        rows[:, one], rows[:, other] = np.divmod(np.arange(len(rows)), counts[other])
        if not combinations.possible(rows).all():
            found |= {one, other}
    return found


def _by_interaction(combinations: Combinations, far: Rows, tied: set[int]) -> list[int]:
    """Layers last; before them those that rules tie; then by how a change differs when all other choices change."""
    base = combinations.base
    order = []
    for position, choice in enumerate(combinations.choices):
        alone, without = base.copy(), far.copy()
        alone[position], without[position] = far[position], base[position]
        here, there, near, away = combinations.costs(np.stack([base, alone, without, far]))
        score = np.nan_to_num(abs((away - near) - (there - here)))
        order.append((choice.name.rpartition(".")[2].isdigit(), position not in tied, -score, position))
    return [position for *_, position in sorted(order)]


def _add_up(combinations: Combinations, far: Rows, joint: Sequence[int]) -> bool:
    """Whether changes of the other choices add up, around the base and where the joint ones are far from it."""
    apart = [position for position in range(len(far)) if position not in joint]
    for start in (combinations.base, far):
        row, moved = combinations.base.copy(), far.copy()
        row[joint], moved[joint] = start[joint], start[joint]
        here, there = combinations.costs(np.stack([row, moved]))
        single = sum(_changes(combinations, row, position)[far[position]] for position in apart)
        if not abs(there - here - single) <= _ROUNDING * abs(here):
            return False
    return True


def _anchors(combinations: Combinations, joint: Sequence[int]) -> tuple[Mask, list[Rows | None]]:
    """Which joint combinations some architecture has, and for each a row to start from, the base where possible."""
    counts = [combinations.counts[position] for position in joint]
    found: dict[tuple[int, ...], Any] = {}
    with suppress(SpaceError):  # not certain for some: all are allowed then, and forbidden ones drawn again
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
    """What each option of one choice adds to the cost of a row; 0 where a rule forbids it."""
    costs = combinations.costs(_with_each_option(combinations, row, position))
    changes: Array = np.nan_to_num(costs - costs[row[position]])
    return changes


def _with_each_option(combinations: Combinations, row: Rows, position: int) -> Rows:
    rows = np.repeat(row[None], combinations.counts[position], axis=0)
    rows[:, position] = np.arange(combinations.counts[position])
    return rows
