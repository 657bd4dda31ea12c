"""Candidates: the ways in which a dimension of one size may keep units of a larger one."""

from collections.abc import Iterator
from functools import lru_cache
from math import gcd

from elasticnas.elastic.parts import Grid, Part, Prefix

__all__ = ["candidates"]


@lru_cache(maxsize=1024)
def candidates(full: int, active: int) -> tuple[Part, ...]:
    """Return the products of up to three factors that keep ``active`` of ``full`` units, the coarsest first.

    Every factor keeps its first units. Products that keep the same units as a coarser one are left out.
    """
    found: dict[tuple[int, ...], Part] = {}
    for part in _products(full, active):
        found.setdefault(tuple(part.units().tolist()), part)
    return tuple(found.values())


def _products(full: int, active: int) -> Iterator[Part]:
    yield Prefix(full, active)
    if full == active:
        return
    common = gcd(full, active)
    for count in _divisors(common):
        if 1 < count < full:
            yield Grid((Prefix(count, count), Prefix(full // count, active // count)))
    pairs = list(_two_cuts(full, active))
    for (a, b), (c, d) in pairs:
        yield Grid((Prefix(a, b), Prefix(c, d)))
    for count in _divisors(common):
        if 1 < count < full:
            for (a, b), (c, d) in _two_cuts(full // count, active // count):
                yield Grid((Prefix(a, b), Prefix(count, count), Prefix(c, d)))
                yield Grid((Prefix(count, count), Prefix(a, b), Prefix(c, d)))


def _two_cuts(full: int, active: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    for a in _divisors(full):
        for b in _divisors(active):
            if a > b and full // a > active // b:
                yield (a, b), (full // a, active // b)


def _divisors(number: int) -> list[int]:
    return [count for count in range(1, number + 1) if number % count == 0]
