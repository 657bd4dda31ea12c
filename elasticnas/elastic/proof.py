"""Proof: which units every dimension keeps, decided by how built models of two architectures behave."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from torch.utils._pytree import tree_leaves

from elasticnas.elastic.behaviour import Dim
from elasticnas.elastic.finder import Assignment, Finder, Pair
from elasticnas.elastic.parts import Part, Prefix
from elasticnas.elastic.permuting import is_order_free

__all__ = ["Verdict", "prove"]

_MOST_GROUPS = 5  # linked groups of one size whose combinations are tried


@dataclass
class Verdict:
    """What the behaviour of two models says.

    Attributes:
        parts: The units of each dimension.
        proven: Varying dimensions whose units behaviour decides.
        open: Varying dimensions for which nothing is decided.
        without_effect: Varying dimensions of tensors that do not affect the output.
        refuted: Pairs of dimensions that no choice of units reconciles.
        ambiguous: As in :class:`~elasticnas.elastic.finder.Assignment`.
        regrouped: As in :class:`~elasticnas.elastic.finder.Assignment`.
    """

    parts: dict[Dim, Part]
    proven: set[Dim] = field(default_factory=set)
    open: set[Dim] = field(default_factory=set)
    without_effect: set[Dim] = field(default_factory=set)
    refuted: list[tuple[Dim, Dim]] = field(default_factory=list)
    ambiguous: set[Dim] = field(default_factory=set)
    regrouped: set[Dim] = field(default_factory=set)


def prove(pair: Pair, given: Mapping[Dim, Part]) -> Verdict:
    """Decide the units of every dimension of a pair of models.

    Args:
        pair: The models.
        given: Units that are claimed by rules.
    """
    found = Finder(pair, given).solve()
    verdict = Verdict(found.parts, refuted=found.refuted, ambiguous=found.ambiguous, regrouped=found.regrouped)
    varying = [dim for dim in pair.dims if len(set(pair.sizes(dim))) > 1]
    verdict.without_effect = {dim for dim in varying if not pair.full.affects(dim[0])}
    linked = [group for group in found.linked if len({name for name, _ in group}) > 1]
    verdict.proven = {dim for dim in varying if any(dim in group for group in linked)}
    rest = [dim for dim in varying if dim not in verdict.proven | verdict.without_effect]
    for sizes in dict.fromkeys(pair.sizes(dim) for dim in rest):
        alone = [dim for dim in rest if pair.sizes(dim) == sizes]
        free = _order_free(pair, found, alone, linked, sizes)
        verdict.proven |= free
        verdict.open |= set(alone) - free
    return verdict


def _order_free(
    pair: Pair, found: Assignment, alone: Sequence[Dim], linked: Sequence[set[Dim]], sizes: tuple[int, int]
) -> set[Dim]:
    """Return the dimensions that together, perhaps with linked ones, hold units whose order is free."""
    part = found.parts[alone[0]]
    groups = []
    for group in linked:
        own = {dim for dim in group if pair.sizes(dim) == sizes}
        if own and all(len(set(pair.sizes(dim))) == 1 or dim in own for dim in group):
            groups.append(own)
    same = [group for group in groups if all(_equal(found.parts[dim], part) for dim in group)]
    for chosen in _subsets(same):
        members = set(alone).union(*chosen)
        if _holds(pair, found, members, sizes):
            return members
    for chosen in _subsets(same):
        for left_out in alone:
            members = (set(alone) - {left_out}).union(*chosen)
            if members and _holds(pair, found, members, sizes):
                return members
    return set()


def _subsets(groups: Sequence[set[Dim]]) -> Iterator[tuple[set[Dim], ...]]:
    """Yield the combinations of groups, the largest first."""
    some = sorted(groups, key=len, reverse=True)[:_MOST_GROUPS]
    for count in range(len(some), -1, -1):
        yield from combinations(some, count)


def _equal(first: Part, second: Part) -> bool:
    return first.full == second.full and first.units().tolist() == second.units().tolist()


def _holds(pair: Pair, found: Assignment, members: set[Dim], sizes: tuple[int, int]) -> bool:
    inputs = [
        number
        for number, (a, b) in enumerate(
            zip(tree_leaves(pair.full.example), tree_leaves(pair.small.example), strict=True)
        )
        if hasattr(a, "shape") and a.ndim and (a.shape[-1], b.shape[-1]) == sizes
    ]
    every = {(name, dim): found.parts[rep, dim] for rep, dim in members for name in pair.alike[rep]}
    small = {(pair.own[name], dim): _whole(part) for (name, dim), part in every.items() if name in pair.own}
    return is_order_free(pair.full, every, (sizes[0], sizes[1]), inputs) and is_order_free(
        pair.small, small, (sizes[1], sizes[1]), inputs
    )


def _whole(part: Part) -> Part:
    return Prefix(part.active, part.active)
