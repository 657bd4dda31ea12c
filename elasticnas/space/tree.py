"""Decision trees: visit every path that a function can take through the choices it reads."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod, sqrt
from statistics import fmean, stdev

__all__ = ["NoOption", "Path", "TooManyRuns", "has_more", "leaves"]

_PROBES = 200
_ERRORS = 4  # standard errors below the mean


class NoOption(BaseException):
    """A choice without allowed options was read; a BaseException, so that ``except Exception`` in a rule misses it."""


class TooManyRuns(Exception):
    """A tree has more leaves than the limit."""


class Path:
    """A path through a tree: the option of each choice that was read, in the order of reading.

    A choice that is read for the first time takes its first allowed option, or a random one.

    Args:
        options: Indices of the allowed options of each choice, by name.
        rng: Draws the options. Without it, :meth:`advance` moves from leaf to leaf.

    Attributes:
        taken: Option index of each choice that was read, by name.
    """

    def __init__(self, options: Mapping[str, Sequence[int]], rng: random.Random | None = None) -> None:
        self.options, self._rng = options, rng
        self.taken: dict[str, int] = {}
        self._trail: list[tuple[str, int]] = []

    @classmethod
    def along(cls, indices: Mapping[str, int]) -> "Path":
        """Return a path with all options given; it does not record what is read."""
        path = cls({})
        path.taken = dict(indices)
        return path

    def index(self, name: str) -> int:
        """Read a choice: return its option index on this path."""
        if name in self.taken:
            return self.taken[name]
        options = self.options[name]
        if not options:
            raise NoOption(name)
        position = 0 if self._rng is None else self._rng.randrange(len(options))
        self._trail.append((name, position))
        self.taken[name] = options[position]
        return options[position]

    def advance(self) -> bool:
        """Move to the next path, depth first; return False after the last one."""
        while self._trail:
            name, position = self._trail.pop()
            del self.taken[name]
            if position + 1 < len(self.options[name]):
                self._trail.append((name, position + 1))
                self.taken[name] = self.options[name][position + 1]
                return True
        return False


Run = Callable[[Path], bool]


def leaves(options: Mapping[str, Sequence[int]], run: Run, most: int) -> Iterator[tuple[dict[str, int], bool]]:
    """Iterate over the leaves: the option indices that were read, and the result of the function.

    The leaves are disjoint and cover all combinations, as long as the function depends on nothing but the choices that
    it reads.

    Args:
        options: Indices of the allowed options of each choice, by name.
        run: The function; it reads choices by ``path.index(name)``.
        most: Most leaves to visit.

    Raises:
        TooManyRuns: The tree has more leaves.
    """
    path = Path(options)
    for _ in range(most):
        valid = run(path)
        yield dict(path.taken), valid
        if not path.advance():
            return
    raise TooManyRuns


def has_more(options: Mapping[str, Sequence[int]], run: Run, most: int) -> bool:
    """Return whether a tree has clearly more leaves than ``most``, by an estimate from random paths.

    The estimate is unbiased, and exact for a tree with the same branching on all paths. If a tree is wrongly judged too
    large, its leaves are not listed or counted, but no result is wrong.

    Source: D. E. Knuth, Estimating the efficiency of backtrack programs, Mathematics of Computation 29 (1975).
    """
    rng, sizes = random.Random(0), []
    for _ in range(_PROBES):
        path = Path(options, rng)
        run(path)
        sizes.append(prod(len(options[name]) for name in path.taken))
    return fmean(sizes) - _ERRORS * stdev(sizes) / sqrt(_PROBES) > most
