"""Proof: which units every dimension keeps, decided by how built models of two architectures behave."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from elasticnas.elastic.behaviour import Dim
from elasticnas.elastic.finder import Finder, Pair
from elasticnas.elastic.order import exchangeable, order_free, sides
from elasticnas.elastic.parts import Part, Prefix

__all__ = ["Verdict", "contradictions", "prove"]


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
        closed: Linked groups of dimensions that are written by some layer and read by another one.
    """

    parts: dict[Dim, Part]
    proven: set[Dim] = field(default_factory=set)
    open: set[Dim] = field(default_factory=set)
    without_effect: set[Dim] = field(default_factory=set)
    refuted: list[tuple[Dim, Dim]] = field(default_factory=list)
    ambiguous: set[Dim] = field(default_factory=set)
    regrouped: set[Dim] = field(default_factory=set)
    closed: list[set[Dim]] = field(default_factory=list)


def contradictions(
    pair: Pair, given: Mapping[Dim, Part], sources: Collection[Dim], sample: int
) -> list[tuple[Dim, Dim]]:
    """Return the pairs of dimensions that depend on each other in another way than their units say.

    Args:
        pair: The models.
        given: The units of all dimensions.
        sources: Dimensions of which single units are kept.
        sample: How many of their units.
    """
    return Finder(pair, given, {pair.leaders.get(dim, dim) for dim in sources}, sample).solve().refuted


def prove(pair: Pair, given: Mapping[Dim, Part]) -> Verdict:
    """Decide the units of every dimension of a pair of models.

    Args:
        pair: The models.
        given: Units that are claimed by rules.
    """
    found = Finder(pair, given).solve()
    verdict = Verdict(found.parts, refuted=found.refuted, ambiguous=found.ambiguous, regrouped=found.regrouped)
    varying = [dim for dim in pair.dims if pair.varies(dim)]
    verdict.without_effect = {
        dim for dim in varying if not (pair.full.affects(dim[0]) and pair.small.affects(pair.own[dim[0]]))
    }
    # links between layers that only write, or only read, fit any units; those that force others than the first do not
    linked = [group for group in found.linked if len({name for name, _ in group}) > 1]
    sure = [
        group
        for group in linked
        if sides(pair, group) == (True, True)
        or not any(isinstance(found.parts[dim], Prefix) for dim in group if pair.varies(dim))
    ]
    verdict.closed = [group for group in sure if sides(pair, group) == (True, True)]
    for group in verdict.closed:
        members = exchangeable(pair, found, group)
        verdict.parts.update((dim, units.as_part()) for dim, units in members.items())
    verdict.proven = {dim for dim in varying if any(dim in group for group in sure)} - verdict.without_effect
    rest = [dim for dim in varying if dim not in verdict.proven | verdict.without_effect | pair.trusted]
    for sizes in sorted(dict.fromkeys(pair.sizes(dim) for dim in rest)):
        alone = [dim for dim in rest if pair.sizes(dim) == sizes and dim not in verdict.proven]
        others = [dim for dim in rest if pair.sizes(dim) != sizes and dim not in verdict.proven]
        for dim, units in (order_free(pair, found, alone, others) if alone else {}).items():
            verdict.parts[dim] = units.as_part()
            verdict.proven.add(dim)
    verdict.open = set(rest) - verdict.proven
    return verdict
