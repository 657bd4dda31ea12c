"""LayeredCost: a cost as a sum over layers, each with all of its choices together."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from elasticnas.cost.combinations import Array, Combinations, Mask, Rows

__all__ = ["LayeredCost", "layered_cost"]

_COSTS = 4_000  # most architectures of a fit
_CHECKED = 32  # random architectures on which a fit must be exact
_ROUNDING = 1e-9  # relative


@dataclass(frozen=True, eq=False)
class LayeredCost:
    """``level(joint options) + sum of change(joint options, options of a layer)`` over the layers that are present.

    All layers are alike. It is exact for FLOPs and parameters of networks whose choices interact within a layer, such
    as its kind of attention and its number of heads, and with joint choices such as ``hidden``.

    Attributes:
        combinations: The combinations that it is fitted to.
        joint: Positions of the choices that belong to no layer.
        groups: Positions of the choices of each layer.
        level: ``(joint combinations,)``.
        change: ``(joint combinations, options of a layer)``; infinite where a rule forbids them.
        present: ``(joint combinations, layers)``.
        allowed: ``(joint combinations,)``; False if no architecture has the joint combination.
    """

    combinations: Combinations
    joint: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    level: Array
    change: Array
    present: Mask
    allowed: Mask

    def values(self, rows: Rows) -> Array:
        """Return the value at combinations ``(rows, choices)``; infinite if a layer's options are impossible."""
        joint = self.combinations.index(rows, self.joint)
        found: Array = self.level[joint].copy()
        for layer, positions in enumerate(self.groups):
            own = self.change[joint, self.combinations.index(rows, positions)]
            found += np.where(self.present[joint, layer], own, 0.0)
        return found

    def allows(self, rows: Rows) -> Mask:
        """Return whether the joint options of combinations ``(rows, choices)`` are allowed."""
        allowed: Mask = self.allowed[self.combinations.index(rows, self.joint)]
        return allowed


def layered_cost(combinations: Combinations) -> LayeredCost | None:
    """Fit the sum over layers; None if layers differ, too many costs are needed, or it is not exact.

    Args:
        combinations: All combinations of the choices; it is checked on random architectures of their space.
    """
    groups = _layers(combinations)
    joint = tuple(p for p in range(len(combinations.counts)) if not any(p in group for group in groups))
    if not groups:
        return None
    counts = combinations.counts
    lengths = {item.length_of for item in combinations.space.info().declared}
    scaling = [position for position in joint if combinations.choices[position].name not in lengths]
    options = list(product(*(range(counts[position]) for position in groups[0])))
    tabulated, scaled = (prod(counts[position] for position in chosen) for chosen in (joint, scaling))
    if tabulated + scaled * len(options) > _COSTS:
        return None
    found = _fitted(combinations, joint, groups, scaling, options)
    return found if _is_exact(found) else None


def _layers(combinations: Combinations) -> tuple[tuple[int, ...], ...]:
    """Return the positions of the choices of each layer; empty if layers do not have the same fields and options."""
    found: dict[int, list[int]] = {}
    kinds: dict[int, list[tuple[str, tuple[object, ...]]]] = {}
    for position, choice in enumerate(combinations.choices):
        field, _, number = choice.name.rpartition(".")
        if number.isdigit():
            found.setdefault(int(number), []).append(position)
            kinds.setdefault(int(number), []).append((field, choice.options))
    alike = all(kind == next(iter(kinds.values())) for kind in kinds.values())
    return tuple(tuple(positions) for positions in found.values()) if alike else ()


def _fitted(
    combinations: Combinations,
    joint: tuple[int, ...],
    groups: tuple[tuple[int, ...], ...],
    scaling: Sequence[int],
    options: Sequence[tuple[int, ...]],
) -> LayeredCost:
    space, first = combinations.space, list(groups[0])
    at_base = combinations.base[first]
    changes: dict[tuple[int, ...], Array] = {}
    level, change, present, allowed = [], [], [], []
    for chosen in product(*(range(combinations.counts[position]) for position in joint)):
        row = combinations.base.copy()
        row[list(joint)] = chosen
        arch = combinations.architecture(row)
        allowed.append(arch is not None)
        key = tuple(row[list(scaling)].tolist())
        if key not in changes:
            rows = np.repeat(combinations.base[None], len(options), axis=0)
            rows[:, list(scaling)] = key
            rows[:, first] = options
            changes[key] = _changes(combinations.costs(rows), options.index(tuple(at_base.tolist())))
        names = set() if arch is None else space.present(arch)
        here = [any(combinations.choices[position].name in names for position in group) for group in groups]
        base = [options.index(tuple(row[list(group)].tolist())) for group in groups]
        own = sum(changes[key][index] for index, is_here in zip(base, here, strict=True) if is_here)
        level.append(np.nan if arch is None else combinations.costs(row[None])[0] - own)
        change.append(changes[key])
        present.append(here)
    levels = np.nan_to_num(np.array(level))
    return LayeredCost(combinations, joint, groups, levels, np.array(change), np.array(present), np.array(allowed))


def _changes(costs: Array, base: int) -> Array:
    """Return the differences from the cost at an index; infinite for impossible rows."""
    found: Array = np.where(np.isnan(costs), np.inf, costs - costs[base])
    return found


def _is_exact(found: LayeredCost) -> bool:
    combinations = found.combinations
    fixed = {choice.name for choice in combinations.space.choice_list()} - {c.name for c in combinations.choices}
    rng = random.Random(0)
    drawn = [combinations.space.sample(rng) for _ in range(_CHECKED)]
    rows = np.stack([combinations.base, *(combinations.row(arch) for arch in drawn)])
    costs = combinations.costs(rows)
    known = ~np.isnan(costs)  # with other fixed choices, a drawn row may be impossible
    if fixed and known.sum() < _CHECKED // 2:
        return False
    return bool(np.allclose(found.values(rows)[known], costs[known], rtol=_ROUNDING, atol=0.0))
