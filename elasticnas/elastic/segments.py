"""Segments: the parts of a concatenated dimension, told apart by how many units of other dimensions they depend on."""

from collections.abc import Iterator, Sequence
from itertools import groupby, product

from elasticnas.elastic.candidates import candidates
from elasticnas.elastic.parts import Grid, Join, Part, Prefix

__all__ = ["concatenations"]

_MOST_SEGMENTS = 8
_MOST_PARTS = 6  # candidates of a segment
_MOST = 400


def concatenations(full: Sequence[object], small: Sequence[object]) -> Iterator[Part]:
    """Yield the units that a concatenated dimension may keep, the coarsest first.

    Args:
        full: The kind of each unit in the larger model: units of one segment are of one kind.
        small: The same in the smaller model.
    """
    yield from _joins(_runs(full), _runs(small))
    for block in _periods(full):
        for own in _periods(small):
            outer = Prefix(len(full) // block, len(small) // own)
            if outer.full > 1 and outer.active <= outer.full:
                for inner in _joins(_runs(full[:block]), _runs(small[:own])):
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


def _joins(full: list[int], small: list[int]) -> Iterator[Part]:
    if not 1 < len(full) == len(small) <= _MOST_SEGMENTS or any(b > a for a, b in zip(full, small, strict=True)):
        return
    choices = [candidates(a, b)[:_MOST_PARTS] for a, b in zip(full, small, strict=True)]
    found = sorted(product(*map(range, map(len, choices))), key=sum)[:_MOST]
    for picks in found:
        yield Join(tuple(options[pick] for options, pick in zip(choices, picks, strict=True)))
