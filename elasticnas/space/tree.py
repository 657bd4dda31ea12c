"""Decision trees: what a function reads of an architecture, and what follows, way by way."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod, sqrt
from statistics import fmean, stdev

__all__ = ["NoOption", "Path", "TooManyRuns", "has_more", "leaves"]

_PROBES = 200
_ERRORS = 4  # standard errors


class NoOption(BaseException):
    """A choice was read that has no option left; no ``except Exception`` of a rule may catch it."""


class TooManyRuns(Exception):
    """A tree has more leaves than may be visited."""


class Path:
    """One way through a tree: the option of each choice that was read, in the order of reading.

    A choice that is read for the first time takes the first option that it may have, or a random one.

    Args:
        options: Indices of the options that each choice may have, by its name.
        rng: Draws the options; without it, :meth:`advance` leads from leaf to leaf.
    """

    def __init__(self, options: Mapping[str, Sequence[int]], rng: random.Random | None = None) -> None:
        self.options, self._rng = options, rng
        self.taken: dict[str, int] = {}
        self._trail: list[tuple[str, int]] = []

    @classmethod
    def along(cls, indices: Mapping[str, int]) -> "Path":
        """A path on which every option is given; it does not tell what is read."""
        path = cls({})
        path.taken = dict(indices)
        return path

    def index(self, name: str) -> int:
        """The option index of a choice on this path."""
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
        """Turn to the next way, depth first; False after the last one."""
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
    """Every leaf once: what was read on the way to it, and what the function gave.

    The leaves are disjoint and cover everything, whatever the function reads on which branch, as long as it depends on
    nothing but what it reads.

    Args:
        options: Indices of the options that each choice may have.
        run: The function.
        most: Leaves to visit.

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
    """Whether a tree has more leaves by a wide margin, as random descents tell it, so that none need be visited.

    The estimate is unbiased, and exact where all leaves are equally deep. A tree that is taken for a larger one by
    mistake costs an answer, and never gives a wrong one.

    Source: D. E. Knuth, Estimating the efficiency of backtrack programs, Mathematics of Computation 29 (1975).
    """
    rng, sizes = random.Random(0), []
    for _ in range(_PROBES):
        path = Path(options, rng)
        run(path)
        sizes.append(prod(len(options[name]) for name in path.taken))
    return fmean(sizes) - _ERRORS * stdev(sizes) / sqrt(_PROBES) > most
