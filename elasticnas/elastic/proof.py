"""Proof: which units every dimension keeps, decided by how built models of two architectures behave."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from torch import nn
from torch.utils._pytree import tree_leaves

from elasticnas.elastic.behaviour import Dim
from elasticnas.elastic.finder import Assignment, Finder, Pair
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.parts import Grid, Part, Prefix
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
    varying = [dim for dim in pair.dims if pair.varies(dim)]
    verdict.without_effect = {dim for dim in varying if not pair.full.affects(dim[0])}
    # links between layers that only write fit any units; those that force others than the first say which
    linked = [group for group in found.linked if len({name for name, _ in group}) > 1]
    sure = [
        group
        for group in linked
        if _sides(pair, group)[1] or not any(isinstance(found.parts[dim], Prefix) for dim in group if pair.varies(dim))
    ]
    verdict.proven = {dim for dim in varying if any(dim in group for group in sure)}
    rest = [dim for dim in varying if dim not in verdict.proven | verdict.without_effect | pair.trusted]
    for sizes in dict.fromkeys(pair.sizes(dim) for dim in rest):
        alone = [dim for dim in rest if pair.sizes(dim) == sizes]
        free = _order_free(pair, found, alone, sizes)
        verdict.proven |= free
        verdict.open |= set(alone) - free
    return verdict


def _sides(pair: Pair, group: set[Dim]) -> tuple[bool, bool]:
    """Return whether a linear layer writes the units of a group, and whether one reads them."""
    writes = reads = False
    for name, dim in group:
        if pair.full.tensors[name].ndim > 1:
            module = pair.full.model.get_submodule(name.rpartition(".")[0])
            read = input_dim(module)
            if not isinstance(module, nn.Embedding):
                writes, reads = writes or dim != read, reads or read is None or dim == read
    return writes, reads


def _order_free(pair: Pair, found: Assignment, alone: Sequence[Dim], sizes: tuple[int, int]) -> set[Dim]:
    """Return the dimensions that together, perhaps with linked ones, hold units whose order is free."""
    part = found.parts[alone[0]]
    groups = []
    for group in found.linked:
        own = {dim for dim in group if pair.sizes(dim) == sizes}
        if own and not own <= set(alone) and all(dim in own or not pair.varies(dim) for dim in group):
            groups.append(own)
    same = [group for group in groups if all(_equal(found.parts[dim], part) for dim in group)]
    # a group with both sides, such as the heads of an attention, is closed in itself
    same.sort(key=lambda group: _sides(pair, group) == (True, True))
    copies = {dim for dim in pair.dims if _holds_copies(found.parts[dim], sizes)}
    given = {dim for dim in pair.trusted if pair.sizes(dim) == sizes and _equal(found.parts[dim], part)}
    trials = [set(alone).union(some, *chosen) for some in _choices(given, copies) for chosen in _subsets(same)]
    for members in (*trials, *(members - {dim} for members in trials[:2] for dim in alone)):
        if members and _holds(pair, found, members, sizes):
            return members
    return set()


def _choices(given: set[Dim], copies: set[Dim]) -> list[set[Dim]]:
    return [some for count, some in enumerate((given | copies, copies, given, set())) if some or count == 3]


def _holds_copies(part: Part, sizes: tuple[int, int]) -> bool:
    """Return whether a part has several copies of units of these sizes."""
    if not isinstance(part, Grid) or not all(factor.is_whole for factor in part.factors[:-1]):
        return False
    return (part.factors[-1].full, part.factors[-1].active) == sizes and isinstance(part.factors[-1], Prefix)


def _subsets(groups: Sequence[set[Dim]]) -> Iterator[Sequence[set[Dim]]]:
    """Yield combinations of groups: all up to each of them in turn, then the others of the first ones."""
    yield from (groups[:count] for count in range(len(groups), -1, -1))
    for count in range(min(len(groups), _MOST_GROUPS), 0, -1):
        yield from combinations(groups[:_MOST_GROUPS], count)


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
    if isinstance(part, Grid):
        return Grid(tuple(Prefix(factor.active, factor.active) for factor in part.factors))
    return Prefix(part.active, part.active)
