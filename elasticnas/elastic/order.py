"""Order: dimensions that hold the same units, whose order is free, found by permuting them together."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice, product

from torch import nn
from torch.utils._pytree import tree_leaves

from elasticnas.elastic.behaviour import Dim
from elasticnas.elastic.finder import Assignment, Pair
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.parts import Grid, Part, Prefix, has_join
from elasticnas.elastic.permuting import Units, is_order_free

__all__ = ["exchangeable", "order_free", "sides"]

_MOST_GROUPS = 5  # linked groups of one size whose combinations are tried
_MOST_TRIALS = 200

Members = dict[Dim, Units]


def sides(pair: Pair, group: set[Dim]) -> tuple[bool, bool]:
    """Return whether a linear layer writes the units of a group, and whether one reads them."""
    writes = reads = False
    for name, dim in group:
        if pair.full.tensors[name].ndim > 1:
            module = pair.full.model.get_submodule(name.rpartition(".")[0])
            read = input_dim(module)
            if not isinstance(module, nn.Embedding):
                writes, reads = writes or dim != read, reads or read is None or dim == read
    return writes, reads


def order_free(pair: Pair, found: Assignment, alone: Sequence[Dim], others: Sequence[Dim]) -> Members:
    """Return the dimensions that together hold units whose order is free; nothing if there are none.

    Args:
        pair: The models.
        found: What the links between dimensions say.
        alone: Dimensions of one size that are to be decided: all of them hold the units.
        others: Further dimensions to be decided, which may hold copies of the units.
    """
    part, sizes = found.parts[alone[0]], pair.sizes(alone[0])
    copies = {dim: units for dim in pair.dims if (units := _copies(found.parts[dim], part)) is not None}
    known: Members = {dim: Units(part) for dim in pair.dims if _equal(found.parts[dim], part)} | copies
    same = []
    for group in found.linked:
        varying = {dim for dim in group if pair.varies(dim)}
        own = varying & known.keys()
        if not own <= {*alone, *copies}:
            # a group with both sides or other units, such as the heads of an attention, is closed in itself
            same.append((own != varying, sides(pair, group) == (True, True), own))
    same.sort(key=lambda each: each[:2])
    groups = [own for *_, own in same]
    given = {dim for dim in pair.trusted if pair.sizes(dim) == sizes and dim in known}
    trials = [{*alone}.union(some, *chosen) for some in _choices(given, {*copies}) for chosen in _subsets(groups)]
    trials += [members - {dim} for members in trials[:2] for dim in alone]
    clusters = _clusters(found, others)
    together = (
        {**{dim: known.get(dim, Units(part)) for dim in members}, **more}
        for members, more in product(trials, _with_copies(pair, clusters, part))
        if members
    )
    return next((members for members in islice(together, _MOST_TRIALS) if _holds(pair, members, part)), {})


def exchangeable(pair: Pair, found: Assignment, group: set[Dim]) -> Members:
    """Return the units of a closed group that links do not decide, such that their order is free in each block.

    Links cannot tell the units of one block from those of another where all blocks affect each other, as experts that
    are mixed by a softmax.

    Returns:
        The units; none if the first ones, or the links, decide.
    """
    varying = [dim for dim in group if pair.varies(dim)]
    sizes = {pair.sizes(dim) for dim in varying}
    # a concatenation of a single size is found where links depend on values, as those of experts that are chosen
    joined = any(has_join(found.parts[dim]) for dim in varying)
    if len(sizes) != 1 or not (joined or all(isinstance(found.parts[dim], Prefix) for dim in varying)):
        return {}
    ((full, active),) = sizes
    counts = [count for count in range(2, active // 2 + 1) if full % count == active % count == 0]
    blocks = [{dim: Units(Prefix(full // count, active // count), outer=count) for dim in varying} for count in counts]
    agreeing = [each for each in blocks if joined or _agree(found, each)]
    if not agreeing:
        return {}
    wholes = [Prefix(full // count, active // count) for count in (1, *counts)]
    for part in wholes:  # the first units, or the first blocks of them, such as heads
        if _holds(pair, {dim: Units(part, inner=full // part.full) for dim in varying}, part):
            return {}
    return next((each for each in agreeing if _holds(pair, each, each[varying[0]].part)), {})


def _agree(found: Assignment, members: Members) -> bool:
    """Return whether the links agree with some units."""
    return all(
        any(_equal(units.as_part(), part) for part in found.choices.get(dim, ())) for dim, units in members.items()
    )


def _clusters(found: Assignment, others: Sequence[Dim]) -> list[set[Dim]]:
    """Return dimensions that are to be decided, those together that are linked."""
    groups = [own for group in found.linked if (own := group & {*others})]
    return [*groups, *({dim} for dim in others if not any(dim in group for group in groups))]


def _with_copies(pair: Pair, clusters: Sequence[set[Dim]], part: Part) -> list[Members]:
    """Return choices of dimensions that hold copies of some units: all, none, or one cluster of them."""
    outer: list[Members] = []
    inner: list[Members] = []
    for cluster in clusters:
        counts = {_count(pair.sizes(dim), (part.full, part.active)) for dim in cluster}
        count = counts.pop()
        if count > 1 and not counts:
            outer.append({dim: Units(part, outer=count) for dim in cluster})
            inner.append({dim: Units(part, inner=count) for dim in cluster})
    joined: list[Members] = [{dim: u for some in each for dim, u in some.items()} for each in (outer, inner)]
    return [*(each for each in joined if each), {}, *(outer + inner if len(outer) > 1 else [])]


def _count(sizes: tuple[int, int], of: tuple[int, int]) -> int:
    """Return how many copies of units a dimension can hold in both models, 0 if it cannot."""
    (full, small), (units, fewer) = sizes, of
    count = full // units
    return count if (full, small) == (count * units, count * fewer) else 0


def _choices(given: set[Dim], copies: set[Dim]) -> list[set[Dim]]:
    return [some for count, some in enumerate((given | copies, copies, given, set())) if some or count == 3]


def _copies(part: Part, of: Part) -> Units | None:
    """Return the copies of other units that a part holds."""
    if not isinstance(part, Grid) or not all(factor.is_whole for factor in part.factors[:-1]):
        return None
    last = part.factors[-1]
    return Units(of, outer=part.full // last.full) if isinstance(last, Prefix) and _equal(last, of) else None


def _subsets(groups: Sequence[set[Dim]]) -> Iterator[Sequence[set[Dim]]]:
    """Yield combinations of groups: all up to each of them in turn, then the others of the first ones."""
    yield from (groups[:count] for count in range(len(groups), -1, -1))
    for count in range(min(len(groups), _MOST_GROUPS), 0, -1):
        yield from combinations(groups[:_MOST_GROUPS], count)


def _equal(first: Part, second: Part) -> bool:
    return first.full == second.full and first.units().tolist() == second.units().tolist()


def _holds(pair: Pair, members: Mapping[Dim, Units], part: Part) -> bool:
    inputs = [
        number
        for number, (a, b) in enumerate(
            zip(tree_leaves(pair.full.example), tree_leaves(pair.small.example), strict=True)
        )
        if hasattr(a, "shape") and a.ndim and (a.shape[-1], b.shape[-1]) == (part.full, part.active)
    ]
    every = {(name, dim): units for (rep, dim), units in members.items() for name in pair.alike[rep]}
    small = {(pair.own[name], dim): units.whole for (name, dim), units in every.items() if name in pair.own}
    return is_order_free(pair.full, every, part, inputs) and is_order_free(
        pair.small, small, Units(part).whole.part, inputs
    )
