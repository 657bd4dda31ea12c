"""Segments: the parts of a concatenated dimension, told apart by how many units of other dimensions they depend on."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, product

from elasticnas.elastic.candidates import candidates
from elasticnas.elastic.parts import Grid, Join, Part, Prefix

__all__ = ["concatenations"]

_MOST_SEGMENTS = 8
_MOST_PARTS = 6  # candidates of a segment
_MOST = 400


Supported = Callable[[int, int, Part], bool]
"""Whether a segment may keep these units, from the first units of the segment in both models."""


def concatenations(full: Sequence[object], small: Sequence[object], supported: Supported) -> Iterator[Part]:
    """Yield the units that a concatenated dimension may keep.

    Args:
        full: The kind of each unit in the larger model: units of one segment are of one kind.
        small: The same in the smaller model.
        supported: Tells whether a segment may keep some units.
    """
    yield from _joins(_runs(full), _runs(small), supported)
    for block in _periods(full):
        for own in _periods(small):
            outer = Prefix(len(full) // block, len(small) // own)
            if outer.full > 1 and outer.active <= outer.full:
                for inner in _joins(_runs(full[:block]), _runs(small[:own]), supported):
                    yield Grid((outer, inner))


def _runs(kinds: Sequence[object]) -> list[int]:
    return [len(list(group)) for _, group in groupby(kinds)]


def _periods(kinds: Sequence[object]) -> list[int]:
    """Return the smallest block of kinds that repeats, if it is shorter than the whole and has several kinds."""
    size = len(kinds)
    for block in range(2, size // 2 + 1):
        if size % block == 0 and list(kinds) == list(kinds[:block]) * (size // block) and len(set(kinds[:block])) > 1:
            return [block]
    return []


def _joins(full: list[int], small: list[int], supported: Supported) -> Iterator[Part]:
    if not 1 < len(full) == len(small) <= _MOST_SEGMENTS or any(b > a for a, b in zip(full, small, strict=True)):
        return
    choices, start, own = [], 0, 0
    for a, b in zip(full, small, strict=True):
        choices.append([part for part in candidates(a, b) if supported(start, own, part)][:_MOST_PARTS])
        start, own = start + a, own + b
    found = sorted(product(*map(range, map(len, choices))), key=sum)[:_MOST]
    for picks in found:
        yield Join(tuple(options[pick] for options, pick in zip(choices, picks, strict=True)))
