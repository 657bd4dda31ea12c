"""Finder: the units that each dimension of a smaller model keeps, such that both models depend on units alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import gcd

import numpy as np
import numpy.typing as npt

from elasticnas.elastic.behaviour import Behaviour, Dim, Links, agree
from elasticnas.elastic.candidates import candidates
from elasticnas.elastic.parts import Part, Prefix
from elasticnas.elastic.segments import concatenations

__all__ = ["Assignment", "Finder", "Pair"]

_SAMPLE = 12  # units of a source that are tried where each costs a pass of its own

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
        dims: The dimensions of the representatives.
    """

    full: Behaviour
    small: Behaviour
    own: Mapping[str, str]
    alike: Mapping[str, Sequence[str]]
    dims: tuple[Dim, ...]

    def sizes(self, dim: Dim) -> tuple[int, int]:
        """Return the sizes of a dimension in both models."""
        name, number = dim
        return self.full.tensors[name].shape[number], self.small.tensors[self.own[name]].shape[number]


@dataclass
class Assignment:
    """Units for every dimension.

    Attributes:
        parts: The units of each dimension.
        linked: Groups of dimensions whose units depend on each other.
        refuted: Pairs of dimensions that no choice of units reconciles.
        regrouped: Dimensions that keep their first blocks of units, such as key heads, while the dimensions that
            depend on them keep all units and are spread over the remaining blocks.
    """

    parts: dict[Dim, Part]
    linked: list[set[Dim]] = field(default_factory=list)
    refuted: list[tuple[Dim, Dim]] = field(default_factory=list)
    regrouped: set[Dim] = field(default_factory=set)


class Finder:
    """Finds the coarsest units for which the dependence of the smaller model's units is that of the larger model's.

    Args:
        pair: The models.
        given: Dimensions whose units are known.
    """

    def __init__(self, pair: Pair, given: Mapping[Dim, Part]) -> None:
        self.pair = pair
        self._domains: dict[Dim, list[Part]] = {}
        for dim in pair.dims:
            full, small = pair.sizes(dim)
            self._domains[dim] = [given[dim]] if dim in given else list(candidates(full, small))
        self._units: dict[Part, npt.NDArray[np.int64]] = {}
        self._targets = list(dict.fromkeys(name for name, _ in pair.dims))
        self._known: dict[tuple[tuple[Dim, Dim], Part, Part], bool] = {}
        self._sampled: dict[Dim, list[int]] = {}
        self._edges = self._find_edges()
        self._steady: set[tuple[Dim, Dim]] = set()  # links found to be independent of the weights' values

    def solve(self) -> Assignment:
        """Return the coarsest consistent units, or those that are refuted."""
        while True:
            edges = [(source, target) for source, targets in self._edges.items() for target in targets]
            domains = dict(self._domains)
            refuted = self._reduce(domains, edges)
            decisive = [*refuted, *(edge for edge in edges if not self._is_coarse(edge, domains))]
            routed = [edge for edge in dict.fromkeys(decisive) if self._depends_on_values(edge)]
            if not routed:
                break
            for source, target in routed:
                self._edges[source] = [other for other in self._edges[source] if other != target]
        for dim in dict.fromkeys(dim for edge in refuted for dim in edge):
            if refuted and len(self._domains[dim]) > 1:
                joined = {**self._domains, dim: self._concatenations(dim)}
                left = self._reduce(joined, edges) if joined[dim] else refuted
                if len(left) < len(refuted):
                    domains, refuted = joined, left
        regrouped = self._regrouped(refuted) if refuted else set()
        kept = {dim: domains[dim] if dim not in regrouped else self._domains[dim][:1] for dim in domains}
        left = [edge for edge in edges if not regrouped & set(edge)]
        return Assignment(self._coarsest(kept, left), _groups(edge for edge in edges if self._tells_units_apart(edge)), [] if regrouped else refuted, regrouped)

    def _tells_units_apart(self, edge: tuple[Dim, Dim]) -> bool:
        """Return whether some unit of the source matters to some units of the target and not to others."""
        source, target = edge
        own = (self.pair.own[target[0]], target[1])
        full, small = (_spread(size, _SAMPLE) for size in self.pair.sizes(source))
        rows = [*(row[target] for row in self._full(source, full)), *(row[own] for row in self._small(source, small))]
        return any((row == 0).any() and (row == 1).any() for row in rows)

    def _regrouped(self, refuted: Sequence[tuple[Dim, Dim]]) -> set[Dim]:
        """Return the dimensions that keep their first blocks, if that reconciles all links; else nothing."""
        found = {dim for edge in refuted for dim in edge if len(set(self.pair.sizes(dim))) > 1}
        fixed = {dim for edge in refuted for dim in edge} - found
        flat = all(isinstance(self._domains[dim][0], Prefix) for dim in found)
        if not found or not fixed or not flat or not all(found & set(edge) for edge in refuted):
            return set()
        common = gcd(*(size for dim in found for size in self.pair.sizes(dim)))
        for block in range(2, common + 1):
            if common % block == 0 and all(self._agrees_in_blocks(edge, found, block) for edge in refuted):
                return found
        return set()

    def _agrees_in_blocks(self, edge: tuple[Dim, Dim], varying: set[Dim], block: int) -> bool:
        """Compare a link by the position of units within their blocks."""
        source, target = edge
        own = (self.pair.own[target[0]], target[1])
        found = []
        for measure, key, size in (
            (self._full, target, self.pair.sizes(source)[0]),
            (self._small, own, self.pair.sizes(source)[1]),
        ):
            rows = np.stack([row[key] for row in measure(source, range(size))]) != 0
            if source in varying:
                rows = rows.reshape(-1, block, rows.shape[1]).any(0)
            if target in varying:
                rows = rows.reshape(len(rows), -1, block).any(1)
            found.append(rows)
        return bool(np.array_equal(*found))

    def _is_coarse(self, edge: tuple[Dim, Dim], domains: Mapping[Dim, list[Part]]) -> bool:
        """Return whether a link allows the coarsest units of both dimensions, so that it decides nothing."""
        source, target = edge
        first, second = self._domains[source][0], self._domains[target][0]
        return domains[source][0] == first and domains[target][0] == second or self._agrees(edge, first, second)

    def _depends_on_values(self, edge: tuple[Dim, Dim]) -> bool:
        """Return whether a link differs between two draws of the weights, as that of a router to its experts does."""
        source, target = edge
        if edge in self._steady:
            return False
        self._steady.add(edge)
        own = (self.pair.own[target[0]], target[1])
        full, small = _spread(self.pair.sizes(source)[0], _SAMPLE), _spread(self.pair.sizes(source)[1], _SAMPLE)
        return any(
            not agree(first[key], second[key])
            for measure, units, key in ((self._full, full, target), (self._small, small, own))
            for first, second in zip(measure(source, units), measure(source, units, 1), strict=True)
        )

    def _coarsest(self, domains: dict[Dim, list[Part]], edges: list[tuple[Dim, Dim]]) -> dict[Dim, Part]:
        for dim in sorted(domains, key=lambda dim: len(domains[dim])):
            for part in domains[dim] if len(domains[dim]) > 1 else ():
                trial = {**domains, dim: [part]}
                if not self._reduce(trial, edges):
                    domains = trial
                    break
        return {dim: parts[0] for dim, parts in domains.items()}

    def _concatenations(self, dim: Dim) -> list[Part]:
        """Return the concatenations whose segments depend on other dimensions alike in both models."""
        kinds: tuple[list[list[int]], list[list[int]]] = ([], [])
        for source, targets in self._edges.items():
            if dim in targets and source != dim:
                full, small = self.pair.sizes(source)
                own = (self.pair.own[dim[0]], dim[1])
                counts = np.stack([row[dim] for row in self._full(source, range(full))]).sum(0)
                fewer = np.stack([row[own] for row in self._small(source, range(small))]).sum(0)
                kinds[0].append(counts.tolist())
                kinds[1].append(fewer.tolist())
        if not kinds[0]:
            return []
        return list(concatenations(list(zip(*kinds[0], strict=True)), list(zip(*kinds[1], strict=True))))

    def _reduce(self, domains: dict[Dim, list[Part]], edges: list[tuple[Dim, Dim]]) -> list[tuple[Dim, Dim]]:
        """Remove what no choice of a linked dimension supports; return the links where nothing is left."""
        waiting, empty = list(edges), []
        touching: dict[Dim, list[tuple[Dim, Dim]]] = {}
        for edge in edges:
            for dim in set(edge):
                touching.setdefault(dim, []).append(edge)
        while waiting:
            edge = waiting.pop()
            source, target = edge
            changed = []
            if source == target:
                left = [a for a in domains[source] if self._agrees(edge, a, a)]
                if len(left) < len(domains[source]):
                    changed.append((source, left))
            else:
                a_left = [a for a in domains[source] if any(self._agrees(edge, a, b) for b in domains[target])]
                b_left = [b for b in domains[target] if any(self._agrees(edge, a, b) for a in a_left)]
                if len(a_left) < len(domains[source]):
                    changed.append((source, a_left))
                if len(b_left) < len(domains[target]):
                    changed.append((target, b_left))
            for dim, left in changed:
                if not left:
                    empty.append(edge)
                    break
                domains[dim] = left
                waiting += [other for other in touching[dim] if other != edge and other not in waiting]
        return empty

    def _agrees(self, edge: tuple[Dim, Dim], a: Part, b: Part) -> bool:
        source, target = edge
        key = (edge, a, b)
        if key not in self._known:
            self._known[key] = self._compare(source, target, self._of(a), self._of(b))
        return self._known[key]

    def _compare(
        self, source: Dim, target: Dim, of_source: npt.NDArray[np.int64], of_target: npt.NDArray[np.int64]
    ) -> bool:
        units = self._sampled[source]
        own = (self.pair.own[target[0]], target[1])
        for unit in units:
            small = self._small(source, [unit])[0][own]
            full = self._full(source, [int(of_source[unit])])[0][target]
            if not agree(full[of_target], small):
                return False
        return True

    def _of(self, part: Part) -> npt.NDArray[np.int64]:
        if part not in self._units:
            self._units[part] = part.units().numpy()
        return self._units[part]

    def _small(self, source: Dim, units: Sequence[int], seed: int = 0) -> list[Links]:
        own = self.pair.own
        targets = [own[name] for name in self._targets]
        return self.pair.small.links((own[source[0]], source[1]), units, targets, seed)

    def _full(self, source: Dim, units: Sequence[int], seed: int = 0) -> list[Links]:
        return self.pair.full.links(source, units, self._targets, seed)

    def _find_edges(self) -> dict[Dim, list[Dim]]:
        """Return for each source the targets whose units depend on which unit of the source is kept."""
        vectorised = self.pair.full.vectorised and self.pair.small.vectorised
        varying = {dim for dim in self.pair.dims if len(set(self.pair.sizes(dim))) > 1}
        edges: dict[Dim, list[Dim]] = {}
        for source in self.pair.dims:
            full, small = self.pair.sizes(source)
            if full == 1 or full == small > _MOST_FIXED:
                continue
            first = self._full_edges(source, 3)
            if first and not vectorised:
                first = self._full_edges(source, _SAMPLE)
            # a source that decides nothing about sizes that vary needs no passes of the smaller model
            if not first or (varying and source not in varying and not varying & set(first)):
                continue
            self._sampled[source] = list(range(small)) if vectorised else _spread(small, _SAMPLE)
            rows = self._small(source, self._sampled[source])
            own = self.pair.own
            second = [dim for dim in self.pair.dims if _differ([row[own[dim[0]], dim[1]] for row in rows])]
            edges[source] = list(dict.fromkeys((*first, *second)))
        return edges

    def _full_edges(self, source: Dim, count: int) -> list[Dim]:
        size = self.pair.sizes(source)[0]
        rows = self._full(source, range(size) if self.pair.full.vectorised else _spread(size, count))
        return [dim for dim in self.pair.dims if _differ([row[dim] for row in rows])]


def _differ(rows: Sequence[Pattern]) -> bool:
    return any(not agree(rows[0], row) for row in rows[1:])


def _spread(size: int, count: int) -> list[int]:
    """Return about ``count`` of ``size`` units: neighbours at both ends, others in between."""
    if size <= count:
        return list(range(size))
    even = np.linspace(0, size - 1, count - count // 3).round().astype(int).tolist()
    near = [1, size // 2 - 1, size - 2, 2][: count // 3]
    return sorted({*even, *near})


def _groups(edges: Iterable[tuple[Dim, Dim]]) -> list[set[Dim]]:
    """Return the connected groups of dimensions."""
    groups: list[set[Dim]] = []
    for edge in edges:
        joined = [group for group in groups if group & set(edge)]
        groups = [group for group in groups if group not in joined] + [set(edge).union(*joined)]
    return groups
