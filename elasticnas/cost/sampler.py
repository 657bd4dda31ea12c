"""Sampler: estimates an expected cost and its gradients without bias, from few architectures."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from elasticnas.cost.combinations import Array, Combinations, Mask, Rows
from elasticnas.cost.draws import Draws, draw, neighbourhoods, possible_share
from elasticnas.cost.surrogate import Surrogate, fitted
from elasticnas.errors import ArchitectureError

__all__ = ["Sampler"]

_DRAWS = 16  # whose cost is worked out
_CHECKED = 256  # of which only is asked whether a rule forbids them
_MOST = 2_048
_ROUNDING = 1e-9
_Part: TypeAlias = tuple[Array, list[Array]]  # terms whose mean estimates, slopes for each choice


class Sampler:
    """Estimates an expected cost over combinations too many for a table.

    The expectation of a surrogate, exactly, plus what the surrogate misses, at combinations drawn from the
    probabilities: 16, and for gradients each option of every choice once, the other choices drawn. Where a surrogate
    missed nothing at 32 architectures drawn uniformly, 2, and each option of one choice, another one for other
    probabilities. Where rules tie choices that the surrogate takes apart, its expectation over the possible
    combinations is sampled too, at 256 combinations whose cost is not needed. The likelier one combination, the more
    are drawn, up to 2,048, so that others are among them. Value and gradients are unbiased over seeds.

    Args:
        combinations: What the expectation is over.
    """

    def __init__(self, combinations: Combinations) -> None:
        self._combinations = combinations
        self._surrogate, exact = _checked(fitted(combinations))
        self._draws, self._sloped = (2, 1) if exact else (_DRAWS, len(combinations.counts))

    def __call__(self, probabilities: Sequence[Tensor], seed: int) -> tuple[Tensor, float, int]:
        """The estimate ``()``, float64, with gradients, its standard error, and how many draws' costs it took.

        Args:
            probabilities: Of each choice ``(options,)``, not negative.
            seed: Of the draws; the same for the same value.

        Raises:
            ArchitectureError: The probabilities give (nearly) no weight to any combination that the space has.
        """
        scaled = [p / p.sum(-1) for p in (p.cpu().double() for p in probabilities)]
        plain = [np.array(p.tolist(), dtype=np.float64) for p in scaled]
        exact, independent = self._surrogate.expected(scaled), self._surrogate.independent(scaled)
        missed, ruled = (
            draw(self._surrogate, independent, _enough(independent, least), [seed, stream])
            for stream, least in enumerate((self._draws, _CHECKED))
        )
        # what is known of the allowed combinations helps as far as rules leave them possible
        share = possible_share(self._surrogate, independent, _CHECKED, [seed, 2])
        parts = [
            self._over_possible(ruled, share, plain, float(exact.detach())),
            self._missed(missed.accepted, plain, seed),
        ]
        value = share * (exact - exact.detach()) + sum(float(terms.mean()) for terms, _ in parts)
        for p, *slopes in zip(scaled, *(slopes for _, slopes in parts), strict=True):
            value = value + ((p - p.detach()) * torch.from_numpy(sum(slopes, np.zeros(len(p))))).sum()
        # from the first, so that equal terms have no variance by rounding
        variance = sum((terms - terms[0]).var(ddof=1) / len(terms) for terms, _ in parts)
        return value, float(np.sqrt(variance)), len(missed.accepted)

    def _over_possible(self, draws: Draws, share: float, plain: Sequence[Array], exact: float) -> _Part:
        """The surrogate over possible combinations, corrected by what is known of it over the allowed ones."""
        surrogate, possible = self._surrogate, self._combinations.possible
        terms = surrogate.values(draws.accepted) - share * (surrogate.values(draws.proposed) - exact)
        known, some = np.full(_CHECKED, exact), slice(_CHECKED)
        over_possible = _slopes(draws.accepted[some], plain, possible, surrogate.values, _others(terms)[some])
        over_allowed = _slopes(draws.proposed[some], plain, surrogate.allows, surrogate.values, known)
        return terms, [a - share * b for a, b in zip(over_possible, over_allowed, strict=True)]

    def _missed(self, rows: Rows, plain: Sequence[Array], seed: int) -> _Part:
        """What the surrogate misses, over possible combinations."""

        def missed(rows: Rows) -> Array:
            return self._combinations.costs(rows) - self._surrogate.values(rows)

        terms = missed(rows)
        some = slice(self._draws)
        # a few of the choices stand for all; which, the probabilities themselves decide like a die
        digest = zlib.crc32(b"".join(p.tobytes() for p in plain))
        chosen = np.random.default_rng([seed, 3, digest]).permutation(len(plain))[: self._sloped]
        slopes = _slopes(rows[some], plain, self._combinations.possible, missed, _others(terms)[some], chosen.tolist())
        return terms, [slope * len(plain) / self._sloped for slope in slopes]


def _enough(independent: Sequence[Array], least: int) -> int:
    """How many draws, up to 2,048: so many that about ``least`` differ from the likeliest combination."""
    differing = -np.expm1(sum(np.log1p(-(p.sum() - p.max())) for p in independent))
    return least if not differing else int(min(_MOST, least / differing))


def _slopes(
    rows: Rows,
    plain: Sequence[Array],
    possible: Callable[[Rows], Mask],
    values: Callable[[Rows], Array],
    mean: Array,
    chosen: Sequence[int] | None = None,
) -> list[Array]:
    """Gradients of an expectation to the probabilities, from draws: ``E[v (f - mean) / sum(p v)]`` for each option.

    f is the value with the option in the place of what was drawn, v whether that is possible.

    Args:
        rows: Draws over the possible combinations ``(draws, choices)``.
        plain: Probabilities of each choice.
        possible: Of combinations.
        values: Of combinations; not read where these are not possible.
        mean: For each draw an estimate of the expectation that does not depend on it ``(draws,)``.
        chosen: Positions of the choices; 0 for the others. None takes all.
    """
    counts = [len(p) for p in plain]
    slopes = [np.zeros(count) for count in counts]
    for position in range(len(plain)) if chosen is None else chosen:
        p = plain[position]
        at, around = neighbourhoods(rows, counts, position)
        flat = around.reshape(-1, len(counts))
        v = possible(flat).reshape(len(at), -1)
        f = np.where(v, values(flat).reshape(len(at), -1), 0.0)
        slopes[position] = (v * (f - mean[at, None]) / (p * v).sum(axis=1, keepdims=True)).mean(axis=0)
    return slopes


def _others(terms: Array) -> Array:
    """For each term the mean of the others."""
    mean: Array = (terms.sum() - terms) / (len(terms) - 1)
    return mean


def _checked(surrogate: Surrogate) -> tuple[Surrogate, bool]:
    """The surrogate, and whether it misses nothing at 32 combinations drawn uniformly; else a line is fitted to them.

    A line through values that say little is flat: such a surrogate then does no harm.
    """
    even = [torch.full((count,), 1 / count, dtype=torch.float64) for count in surrogate.combinations.counts]
    try:
        rows = draw(surrogate, surrogate.independent(even), 2 * _DRAWS, [0]).accepted
    except ArchitectureError:  # hardly any combination is possible
        return surrogate, False
    costs, values = surrogate.combinations.costs(rows), surrogate.values(rows)
    if np.allclose(values, costs, rtol=_ROUNDING, atol=0):
        return surrogate, True
    slope = float(np.cov(values, costs)[0, 1] / max(values.var(ddof=1), _ROUNDING))
    level = slope * surrogate.level + costs.mean() - slope * values.mean()
    return replace(surrogate, level=level, change=slope * surrogate.change), False
