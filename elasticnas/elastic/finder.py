"""Finder: the units that each dimension of a smaller model keeps, such that both models depend on units alike."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from elasticnas.elastic.behaviour import UNKNOWN, Behaviour, Dim, Gate, Links, agree
from elasticnas.elastic.candidates import candidates
from elasticnas.elastic.parts import Part, Prefix, has_join
from elasticnas.elastic.segments import concatenations

__all__ = ["Assignment", "Finder", "Pair"]

_SAMPLE = 12  # units of a source that are tried where each costs a pass of its own
_LONG = 2048  # units of a vocabulary: gradients of such tensors take most of the time and tell little
_MOST_FIXED = 256  # units of a dimension that does not vary, such as a vocabulary

Pattern = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Pair:
    """Two built models, of which the smaller one should compute on units of the larger.

    Attributes:
        full: The larger model.
        small: The smaller model.
        own: Name in the smaller model of each tensor, by its name in the larger.
        alike: Names of all tensors, by the name of their representative: tensors that only differ in their layer.
        trusted: Dimensions whose units are given and not judged.
        leaders: Dimensions that certainly have the same units, such as a bias and the outputs of its weight, by the
            dimension that stands for them; dimensions that stand for themselves are left out.
        dims: The dimensions of the representatives.
    """

    full: Behaviour
    small: Behaviour
    own: Mapping[str, str]
    alike: Mapping[str, Sequence[str]]
    leaders: Mapping[Dim, Dim]
    dims: tuple[Dim, ...]
    trusted: frozenset[Dim] = frozenset()

    def sizes(self, dim: Dim) -> tuple[int, int]:
        """Return the sizes of a dimension in both models."""
        name, number = dim
        return self.full.tensors[name].shape[number], self.small.tensors[self.own[name]].shape[number]

    def varies(self, dim: Dim) -> bool:
        """Return whether a dimension is smaller in the smaller model."""
        full, small = self.sizes(dim)
        return full != small

    def in_small(self, dim: Dim) -> Dim:
        """Return a dimension under its name in the smaller model."""
        return self.own[dim[0]], dim[1]

    @cached_property
    def learned(self) -> list[Dim]:
        """The dimensions that links can tell about: of parameters, but those with a long dimension that is fixed."""
        return [
            (name, dim)
            for name, dim in self.dims
            if (name, dim) not in self.trusted
            and name in self.full.parameters
            and self.own[name] in self.small.parameters
            and not any(full == small > _LONG for full, small in zip(*self._shapes(name), strict=True))
        ]

    def _shapes(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return tuple(self.full.tensors[name].shape), tuple(self.small.tensors[self.own[name]].shape)

    @cached_property
    def targets(self) -> list[str]:
        """Names of the representatives that have gradients."""
        return list(dict.fromkeys(name for name, _ in self.learned))


@dataclass
class Assignment:
    """Units for every dimension.

    Attributes:
        parts: The units of each dimension.
        linked: Groups of dimensions whose units depend on each other.
        refuted: Pairs of dimensions that no choice of units reconciles.
        ambiguous: Dimensions of several kinds of units of which no concatenation of the kinds is consistent.
        regrouped: Dimensions that keep their first blocks of units, such as key heads, while the dimensions that
            depend on them keep all units and are spread over the remaining blocks.
        choices: All units of each dimension that agree.
    """

    parts: dict[Dim, Part]
    linked: list[set[Dim]] = field(default_factory=list)
    refuted: list[tuple[Dim, Dim]] = field(default_factory=list)
    ambiguous: set[Dim] = field(default_factory=set)
    regrouped: set[Dim] = field(default_factory=set)
    choices: dict[Dim, list[Part]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Edge:
    """A link: which units of the target matter if one unit of the source is kept.

    Attributes:
        source: The dimension of which one unit is kept.
        target: The dimension whose units matter or not.
        within: Whether only units of the same kind are removed from the source.
    """

    source: Dim
    target: Dim
    within: bool = False


Domains = dict[Dim, list[Part]]


class Finder:
    """Finds the first units for which the dependence of the smaller model's units is that of the larger model's.

    Args:
        pair: The models.
        given: Dimensions whose units are known.
        sources: Dimensions of which single units are kept; None for all.
        sample: Units of a source that are tried where each costs a pass of its own.
    """

    def __init__(
        self, pair: Pair, given: Mapping[Dim, Part], sources: Collection[Dim] | None = None, sample: int = _SAMPLE
    ) -> None:
        self.pair, self._sources, self._sample = pair, sources, sample
        self._leader = {dim: pair.leaders.get(dim, dim) for dim in pair.dims}
        self._domains: Domains = {}
        for dim in pair.dims:
            if dim in given:
                self._domains[self._leader[dim]] = [given[dim]]
        for dim in dict.fromkeys(self._leader.values()):
            self._domains.setdefault(dim, sorted(candidates(*pair.sizes(dim)), key=_lateness))
        self._kinds: dict[Dim, tuple[list[int], list[int]]] = {}
        self._known: dict[tuple[_Edge, Part, Part], bool] = {}
        self._rows: dict[tuple[_Edge, Part | None], Pattern] = {}
        self._joins: dict[Dim, list[Part]] = {}
        self._steady: set[_Edge] = set()  # links found to be independent of the weights' values
        self._edges = self._find_edges()

    def solve(self) -> Assignment:
        """Return the first consistent units, or those that are refuted."""
        domains, refuted = self._without_routing()
        if more := self._more_edges(domains, refuted):
            self._edges += more
            domains, refuted = self._without_routing()
        joined = self._with_concatenations(domains, refuted)
        if joined is not None:
            left = self._reduce(joined, self._edges)
            if not left or len(left) < len(refuted):
                domains, refuted = joined, left
        regrouped = self._regrouped(refuted) if refuted else set()
        for dim in regrouped:
            domains[dim] = self._domains[dim][:1]
        used = [edge for edge in self._edges if not regrouped & self._led(edge)]
        parts = self._first(domains, used)
        found = {dim: parts[leader] for dim, leader in self._leader.items()}
        groups = _groups(self._led(edge) for edge in self._edges if self._tells_units_apart(edge))
        linked = [{dim for dim, leader in self._leader.items() if leader in group} for group in groups]
        pairs = [] if regrouped else [(edge.source, edge.target) for edge in refuted]
        late = self._earlier_joins(parts)
        choices = {dim: domains[leader] for dim, leader in self._leader.items()}
        return Assignment(found, linked, pairs, self._followers(late), self._followers(regrouped), choices)

    def _earlier_joins(self, parts: Mapping[Dim, Part]) -> set[Dim]:
        """Return the vectors for which concatenations of earlier units agree with each other, though not with all.

        The rows that a norm of heads scales may be a concatenation that was not found, as a norm hides which row is
        which of its units.
        """
        domains = {
            dim: [parts[dim]] if has_join(parts[dim]) else [*joins, parts[dim]] for dim, joins in self._joins.items()
        }
        self._reduce(domains, [edge for edge in self._edges if self._led(edge) <= domains.keys()])
        return {
            dim
            for dim, left in domains.items()
            if self.pair.full.tensors[dim[0]].ndim == 1 and min(map(_lateness, left)) < _lateness(parts[dim])
        }

    def _followers(self, leaders: set[Dim]) -> set[Dim]:
        return {dim for dim, leader in self._leader.items() if leader in leaders}

    def _led(self, edge: _Edge) -> set[Dim]:
        return {self._leader[edge.source], self._leader[edge.target]}

    # links

    def _find_edges(self) -> list[_Edge]:
        """Return the links in which it matters which unit of the source is kept."""
        varying = {dim for dim in self.pair.dims if self.pair.varies(dim)}
        edges: list[_Edge] = []
        for source in dict.fromkeys(self._leader.values()):
            full, small = self.pair.sizes(source)
            if self._sources is not None and source not in self._sources:
                continue
            if full == 1 or full == small > _MOST_FIXED or source not in self.pair.learned:
                continue
            first = self._targets_of(source, min(3, self._sample))
            if first and not self.pair.full.cheap:
                first = self._targets_of(source, self._sample)
            # a source that decides nothing about sizes that vary needs no passes of the smaller model
            if first and (not varying or source in varying or varying & set(first)):
                edges += self._edges_from(source, first)
        return edges

    def _edges_from(self, source: Dim, first: Iterable[Dim], within: bool = False) -> list[_Edge]:
        rows = self._small(_Edge(source, source, within), self._sampled(source))
        second = [dim for dim in self.pair.learned if _differ([row[self.pair.in_small(dim)] for row in rows])]
        return [_Edge(source, dim, within) for dim in dict.fromkeys((*first, *second))]

    def _targets_of(self, source: Dim, count: int, within: bool = False) -> list[Dim]:
        size = self.pair.sizes(source)[0]
        units = range(size) if self.pair.full.cheap else _spread(size, count)
        rows = self._full(_Edge(source, source, within), units)
        return [dim for dim in self.pair.learned if _differ([row[dim] for row in rows])]

    def _more_edges(self, domains: Domains, refuted: Sequence[_Edge]) -> list[_Edge]:
        """Return links within dimensions of several kinds of units, such as fused queries, keys and values."""
        edges: list[_Edge] = []
        for dim in self._undecided(domains, refuted):
            full, small = self._counts(dim)
            kinds = [_numbered(full), _numbered(small)]
            if all(1 < len(set(each)) <= len(each) // 2 for each in kinds):
                self._kinds[dim] = (kinds[0], kinds[1])
                edges += self._edges_from(dim, self._targets_of(dim, _SAMPLE, True), True)
        return edges

    def _undecided(self, domains: Domains, refuted: Sequence[_Edge]) -> list[Dim]:
        """Return the dimensions whose first units are wrong."""
        cut = {dim for edge in refuted for dim in self._led(edge)}
        cut |= {dim for dim, parts in domains.items() if not isinstance(parts[0], Prefix)}
        return [dim for dim in domains if dim in cut and len(self._domains[dim]) > 1 and self.pair.varies(dim)]

    def _counts(self, dim: Dim) -> tuple[list[object], list[object]]:
        """Return for every unit of a dimension to how many units of each other dimension it is linked, in both models.

        Units of different segments of a concatenation differ in that.
        """
        found = [counts for edge in self._edges for counts in self._count(edge, dim)]
        if not found:
            return [0] * self.pair.sizes(dim)[0], [0] * self.pair.sizes(dim)[1]
        full, small = zip(*found, strict=True)
        return list(zip(*full, strict=True)), list(zip(*small, strict=True))

    def _count(self, edge: _Edge, dim: Dim) -> Iterator[tuple[list[int], list[int]]]:
        """Yield the counts that a link to or from a dimension gives, unless they are unclear."""
        if dim not in (edge.source, edge.target) or (edge.source == edge.target and not edge.within):
            return
        if (rows := self._measured(edge)) is None:
            return
        for end, axis in ((edge.target, 0), (edge.source, 1)):
            if end == dim:
                yield rows[0].sum(axis).tolist(), rows[1].sum(axis).tolist()

    def _measured(self, edge: _Edge) -> tuple[Pattern, Pattern] | None:
        """Return a link of all units in both models, None if it is unclear."""
        sizes, own = self.pair.sizes(edge.source), self.pair.in_small(edge.target)
        full = np.stack([row[edge.target] for row in self._full(edge, range(sizes[0]))])
        small = np.stack([row[own] for row in self._small(edge, range(sizes[1]))])
        if self._leader[edge.source] == self._leader[edge.target]:
            for rows in (full, small):
                np.fill_diagonal(rows, 1)  # not measured
        return None if (full == UNKNOWN).any() or (small == UNKNOWN).any() else (full, small)

    def _with_concatenations(self, domains: Domains, refuted: Sequence[_Edge]) -> Domains | None:
        """Return larger domains, with concatenations where the first units are wrong; None if there are none."""
        dims = self._undecided(domains, refuted)
        kinds = {dim: (_numbered(full), _numbered(small)) for dim in dims for full, small in [self._counts(dim)]}
        found = {dim: list(self._concatenations(dim, kinds)) for dim in dims}
        self._joins = {dim: parts for dim, parts in found.items() if parts}
        if not any(found.values()):
            return None
        return self._domains | {
            dim: sorted([*self._domains[dim], *parts], key=_lateness) for dim, parts in found.items()
        }

    def _concatenations(self, dim: Dim, kinds: Mapping[Dim, tuple[list[int], list[int]]]) -> Iterator[Part]:
        """Yield the concatenations of segments that the links into them allow."""
        edges = [
            edge
            for edge in self._edges
            if edge.target == dim
            and (source := self._leader[edge.source]) != dim
            and (source not in kinds or len(set(kinds[source][0])) == 1)  # else it may be a concatenation itself
        ]

        def supported(start: int, own: int, part: Part) -> bool:
            return all(self._allows_segment(edge, start, own, part) for edge in edges)

        return concatenations(*kinds[dim], supported)

    def _has_kinds(self, dim: Dim) -> bool:
        """Return whether a dimension may be a concatenation itself."""
        return any(len(set(counts)) > 1 for counts in self._counts(dim))

    def _allows_segment(self, edge: _Edge, start: int, own: int, part: Part) -> bool:
        units, key = start + _units(part), self.pair.in_small(edge.target)
        sampled = self._sampled(edge.source)
        rows = [row[key][own : own + part.active] for row in self._small(edge, sampled)]
        return any(
            all(
                agree(self._full(edge, [int(of_source[unit])])[0][edge.target][units], row)
                for unit, row in zip(sampled, rows, strict=True)
            )
            for of_source in map(_units, self._domains[self._leader[edge.source]])
        )

    # consistency

    def _without_routing(self) -> tuple[Domains, list[_Edge]]:
        """Return what the links leave, without those that depend on the weights' values, as of a router."""
        while True:
            domains = dict(self._domains)
            refuted = self._reduce(domains, self._edges)
            decisive = [*refuted, *(edge for edge in self._edges if not self._allows_first(edge, domains))]
            routed = {edge for edge in decisive if self._depends_on_values(edge)}
            if not routed:
                return domains, refuted
            self._edges = [edge for edge in self._edges if edge not in routed]

    def _reduce(self, domains: Domains, edges: Sequence[_Edge]) -> list[_Edge]:
        """Remove what no choice of a linked dimension supports; return the links where nothing is left."""
        waiting, empty = list(edges), []
        touching: dict[Dim, list[_Edge]] = {}
        for edge in edges:
            for dim in self._led(edge):
                touching.setdefault(dim, []).append(edge)
        while waiting:
            edge = waiting.pop()
            for dim, left in self._supported(domains, edge).items():
                if not left:
                    empty.append(edge)
                    break
                if len(left) < len(domains[dim]):
                    domains[dim] = left
                    waiting += [other for other in touching[dim] if other != edge and other not in waiting]
        return empty

    def _supported(self, domains: Domains, edge: _Edge) -> Domains:
        source, target = self._leader[edge.source], self._leader[edge.target]
        if source == target:
            return {source: [part for part in domains[source] if self._agrees(edge, part, part)]}
        first = [a for a in domains[source] if any(self._agrees(edge, a, b) for b in domains[target])]
        return {source: first, target: [b for b in domains[target] if any(self._agrees(edge, a, b) for a in first)]}

    def _first(self, domains: Domains, edges: Sequence[_Edge]) -> dict[Dim, Part]:
        """Choose the first units for one dimension after the other."""
        for dim in sorted(domains, key=lambda dim: len(domains[dim])):
            for part in domains[dim] if len(domains[dim]) > 1 else ():
                trial = {**domains, dim: [part]}
                if not self._reduce(trial, edges):
                    domains = trial
                    break
        return {dim: parts[0] for dim, parts in domains.items()}

    def _agrees(self, edge: _Edge, a: Part, b: Part) -> bool:
        key = (edge, a, b)
        if key not in self._known:
            small = self._small_rows(edge)
            self._known[key] = agree(self._full_rows(edge, a)[:, _units(b)], small) if len(small) else True
        return self._known[key]

    def _small_rows(self, edge: _Edge) -> Pattern:
        """Return the units of the target that matter for each sampled unit of the source, in the smaller model."""
        if (edge, None) not in self._rows:
            own = self.pair.in_small(edge.target)
            found = [row[own] for row in self._small(edge, self._sampled(edge.source))]
            self._rows[edge, None] = np.stack(found) if found else np.zeros((0, 0), np.int8)
        return self._rows[edge, None]

    def _full_rows(self, edge: _Edge, part: Part) -> Pattern:
        """Return them for the same units in the larger model, which are those of a part."""
        if (edge, part) not in self._rows:
            units = _units(part)[self._sampled(edge.source)].tolist()
            self._rows[edge, part] = np.stack([row[edge.target] for row in self._full(edge, units)])
        return self._rows[edge, part]

    def _allows_first(self, edge: _Edge, domains: Domains) -> bool:
        """Return whether a link allows the first units of both dimensions, so that it decides nothing."""
        source, target = self._leader[edge.source], self._leader[edge.target]
        first, second = self._domains[source][0], self._domains[target][0]
        return (domains[source][0] == first and domains[target][0] == second) or self._agrees(edge, first, second)

    def _depends_on_values(self, edge: _Edge) -> bool:
        """Return whether a link differs between two draws of the weights, as that of a router to its experts does."""
        if edge in self._steady:
            return False
        self._steady.add(edge)
        own = self.pair.in_small(edge.target)
        full, small = (_spread(size, _SAMPLE) for size in self.pair.sizes(edge.source))
        return any(
            not agree(first[key], second[key])
            for measure, units, key in ((self._full, full, edge.target), (self._small, small, own))
            for first, second in zip(measure(edge, units), measure(edge, units, 1), strict=True)
        )

    def _tells_units_apart(self, edge: _Edge) -> bool:
        """Return whether some unit of the source matters to some units of the target and not to others."""
        own = self.pair.in_small(edge.target)
        full, small = (_spread(size, _SAMPLE) for size in self.pair.sizes(edge.source))
        rows = [row[edge.target] for row in self._full(edge, full)] + [row[own] for row in self._small(edge, small)]
        return any((row == 0).any() and (row == 1).any() for row in rows)

    # fewer groups for the same units

    def _regrouped(self, refuted: Sequence[_Edge]) -> set[Dim]:
        """Return the dimensions that keep their first blocks, if that reconciles all links; else nothing."""
        dims = {dim for edge in refuted for dim in self._led(edge)}
        found = {dim for dim in dims if self.pair.varies(dim)}
        flat = all(isinstance(self._domains[dim][0], Prefix) for dim in found)
        if not found or found == dims or not flat or not all(found & self._led(edge) for edge in refuted):
            return set()
        if any(self._has_kinds(dim) for dim in found):
            return set()
        first = {dim: self._domains[dim][0] for dim in dims}
        inside = [edge for edge in refuted if self._led(edge) <= found]
        if not all(self._agrees(e, first[self._leader[e.source]], first[self._leader[e.target]]) for e in inside):
            return set()
        sizes = [self.pair.sizes(dim) for dim in found]
        for count in range(2, min(full for full, _ in sizes) + 1):
            # every dimension has as many blocks, of which the smaller model has fewer
            if any(full % count or small * count % full for full, small in sizes) or max(sizes)[0] == count:
                continue
            blocks = {dim: self.pair.sizes(dim)[0] // count for dim in found}
            if all(self._agrees_in_blocks(edge, blocks) for edge in refuted):
                return found
        return set()

    def _agrees_in_blocks(self, edge: _Edge, blocks: Mapping[Dim, int]) -> bool:
        """Compare a link by the position of units within their blocks."""
        found = []
        sizes = self.pair.sizes(edge.source)
        for measure, key, size in (
            (self._full, edge.target, sizes[0]),
            (self._small, self.pair.in_small(edge.target), sizes[1]),
        ):
            rows = np.stack([row[key] for row in measure(edge, range(size))]) != 0
            if block := blocks.get(self._leader[edge.source]):
                rows = rows.reshape(-1, block, rows.shape[1]).any(0)
            if block := blocks.get(self._leader[edge.target]):
                rows = rows.reshape(len(rows), -1, block).any(1)
            found.append(rows)
        return bool(np.array_equal(*found))

    # measurements

    def _sampled(self, source: Dim) -> list[int]:
        size = self.pair.sizes(source)[1]
        cheap = self.pair.full.cheap and self.pair.small.cheap
        return list(range(size)) if cheap else _spread(size, self._sample)

    def _small(self, edge: _Edge, units: Sequence[int], seed: int = 0) -> list[Links]:
        alike = tuple(self.pair.own[name] for name in self.pair.alike[edge.source[0]] if name in self.pair.own)
        kinds = tuple(self._kinds[edge.source][1]) if edge.within else None
        gate = Gate(self.pair.in_small(edge.source), kinds, alike)
        return self.pair.small.links(gate, units, [self.pair.own[name] for name in self.pair.targets], seed)

    def _full(self, edge: _Edge, units: Sequence[int], seed: int = 0) -> list[Links]:
        kinds = tuple(self._kinds[edge.source][0]) if edge.within else None
        gate = Gate(edge.source, kinds, tuple(self.pair.alike[edge.source[0]]))
        return self.pair.full.links(gate, units, self.pair.targets, seed)


@lru_cache(maxsize=4096)
def _units(part: Part) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = part.units().numpy()
    return found


def _lateness(part: Part) -> int:
    """Return how late the units of a part are: a part should keep the first units that behaviour allows."""
    return int(_units(part).sum())


def _numbered(kinds: Sequence[object]) -> list[int]:
    numbers: dict[object, int] = {}
    return [numbers.setdefault(kind, len(numbers)) for kind in kinds]


def _differ(rows: Sequence[Pattern]) -> bool:
    return any(not agree(rows[0], row) for row in rows[1:])


def _spread(size: int, count: int) -> list[int]:
    """Return about ``count`` of ``size`` units: neighbours at both ends, others in between."""
    if size <= count:
        return list(range(size))
    even = np.linspace(0, size - 1, count - count // 3).round().astype(int).tolist()
    near = [1, size // 2 - 1, size - 2, 2][: count // 3]
    return sorted({*even, *near})


def _groups(sets: Iterable[set[Dim]]) -> list[set[Dim]]:
    """Return the connected groups of dimensions."""
    groups: list[set[Dim]] = []
    for some in sets:
        joined = [group for group in groups if group & some]
        groups = [group for group in groups if group not in joined] + [some.union(*joined)]
    return groups
