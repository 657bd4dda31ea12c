"""Sampler: unbiased estimates of an expected cost and its gradients from few architectures."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from elasticnas.cost.combinations import Array, Combinations, Mask, Rows
from elasticnas.cost.draws import Draws, draw, neighbourhoods, possible_share
from elasticnas.cost.layered import LayeredCost, layered_cost
from elasticnas.cost.surrogate import Surrogate, fit_surrogate
from elasticnas.errors import ArchitectureError

__all__ = ["Sampler"]

_COST_DRAWS = 16  # draws whose cost is computed
_RULE_DRAWS = 256  # draws of which only the validity is computed
_MAX_DRAWS = 2_048
_ROUNDING = 1e-9  # relative
_Part: TypeAlias = tuple[Array, list[Array]]  # terms whose mean is an estimate, and its gradients for each choice


class Sampler:
    """Estimates an expected cost over too many combinations for a table.

    The estimate is the exact expectation of a surrogate, plus the mean residual of the surrogate (cost minus surrogate)
    at combinations drawn from the probabilities: 16, and for gradients each option of every choice, with the other
    choices drawn. If the surrogate has no residual at 32 uniformly drawn architectures: 2, and the options of one
    choice, which depends on the probabilities. If rules tie choices that the surrogate treats separately, its
    expectation over the possible combinations is sampled too, at 256 combinations whose cost is not needed. If one
    combination is very probable, more are drawn (up to 2,048), so that some differ from it. Value and gradients are
    unbiased over seeds.

    Args:
        combinations: The combinations that the expectation is over.

    Attributes:
        exact: Whether the surrogate had no residual.
        surrogate: The surrogate.
    """

    def __init__(self, combinations: Combinations) -> None:
        self._combinations = combinations
        self.surrogate, self.exact = _calibrated(fit_surrogate(combinations, shared=True))
        if not self.exact:
            self.surrogate, self.exact = _calibrated(fit_surrogate(combinations))
        self._draws, self._gradient_choices = (2, 1) if self.exact else (_COST_DRAWS, len(combinations.counts))

    @cached_property
    def layered(self) -> LayeredCost | None:
        """The cost as a sum over layers whose own choices interact; None if it is no such sum."""
        return layered_cost(self._combinations)

    def __call__(self, probabilities: Sequence[Tensor], seed: int) -> tuple[Tensor, float, int]:
        """Estimate the expected cost.

        Args:
            probabilities: Probabilities of each choice ``(options,)``, not negative.
            seed: Seed of the draws; the same seed gives the same value.

        Returns:
            The estimate ``()``, float64, differentiable in the probabilities; its standard error; and the number of
            draws whose cost was used.

        Raises:
            ArchitectureError: The probabilities give (nearly) no weight to any possible combination.
        """
        scaled = [p / p.sum(-1) for p in (p.cpu().double() for p in probabilities)]
        plain = [np.array(p.tolist(), dtype=np.float64) for p in scaled]
        exact, independent = self.surrogate.expected(scaled), self.surrogate.independent(scaled)
        for_residual, for_rules = (
            draw(self.surrogate, independent, _draw_count(independent, least), [seed, stream])
            for stream, least in enumerate((self._draws, _RULE_DRAWS))
        )
        # the exact expectation is a control variate, weighted by the fraction of allowed combinations that is possible
        share = possible_share(self.surrogate, independent, _RULE_DRAWS, [seed, 2])
        parts = [
            self._over_possible(for_rules, share, plain, float(exact.detach())),
            self._residual(for_residual.accepted, plain, seed),
        ]
        value = share * (exact - exact.detach()) + sum(float(terms.mean()) for terms, _ in parts)
        for p, *gradients in zip(scaled, *(gradients for _, gradients in parts), strict=True):
            value = value + ((p - p.detach()) * torch.from_numpy(sum(gradients, np.zeros(len(p))))).sum()
        # relative to the first term, so that rounding gives equal terms no variance
        variance = sum((terms - terms[0]).var(ddof=1) / len(terms) for terms, _ in parts)
        return value, float(np.sqrt(variance)), len(for_residual.accepted)

    def _over_possible(self, draws: Draws, share: float, plain: Sequence[Array], exact: float) -> _Part:
        """Estimate the surrogate over possible combinations; its exact mean over allowed ones is a control variate."""
        surrogate, possible = self.surrogate, self._combinations.possible
        terms = surrogate.values(draws.accepted) - share * (surrogate.values(draws.proposed) - exact)
        mean, some = np.full(_RULE_DRAWS, exact), slice(_RULE_DRAWS)
        over_possible = _gradients(
            draws.accepted[some], plain, possible, surrogate.values, _leave_one_out_means(terms)[some]
        )
        over_allowed = _gradients(draws.proposed[some], plain, surrogate.allows, surrogate.values, mean)
        return terms, [a - share * b for a, b in zip(over_possible, over_allowed, strict=True)]

    def _residual(self, rows: Rows, plain: Sequence[Array], seed: int) -> _Part:
        """Estimate the residual of the surrogate over possible combinations."""

        def residual(rows: Rows) -> Array:
            return self._combinations.costs(rows) - self.surrogate.values(rows)

        terms = residual(rows)
        some = slice(self._draws)
        # a random subset of the choices estimates the gradients; a hash of the probabilities seeds it
        digest = zlib.crc32(b"".join(p.tobytes() for p in plain))
        chosen = np.random.default_rng([seed, 3, digest]).permutation(len(plain))[: self._gradient_choices]
        means, possible = _leave_one_out_means(terms)[some], self._combinations.possible
        gradients = _gradients(rows[some], plain, possible, residual, means, chosen.tolist())
        return terms, [gradient * len(plain) / self._gradient_choices for gradient in gradients]


def _draw_count(independent: Sequence[Array], least: int) -> int:
    """Return the number of draws, up to 2,048, of which about ``least`` differ from the likeliest combination."""
    differing = -np.expm1(sum(np.log1p(-(p.sum() - p.max())) for p in independent))
    return least if not differing else int(min(_MAX_DRAWS, least / differing))


def _gradients(
    rows: Rows,
    plain: Sequence[Array],
    possible: Callable[[Rows], Mask],
    values: Callable[[Rows], Array],
    mean: Array,
    chosen: Sequence[int] | None = None,
) -> list[Array]:
    """Estimate the gradients of an expectation in the probabilities: ``E[v (f - mean) / sum(p v)]`` for each option.

    f is the value of a draw with the choice set to the option; v is 1 if that combination is possible, else 0.

    Args:
        rows: Draws over the possible combinations ``(draws, choices)``.
        plain: Probabilities of each choice.
        possible: Returns whether combinations are possible.
        values: Returns values of combinations; values of impossible ones are ignored.
        mean: For each draw, an estimate of the expectation that is independent of it ``(draws,)``.
        chosen: Positions of the choices to estimate; the gradients of the others are 0. None takes all.
    """
    counts = [len(p) for p in plain]
    gradients = [np.zeros(count) for count in counts]
    for position in range(len(plain)) if chosen is None else chosen:
        p = plain[position]
        indices, changed = neighbourhoods(rows, counts, position)
        flat = changed.reshape(-1, len(counts))
        v = possible(flat).reshape(len(indices), -1)
        f = np.where(v, values(flat).reshape(len(indices), -1), 0.0)
        gradients[position] = (v * (f - mean[indices, None]) / (p * v).sum(axis=1, keepdims=True)).mean(axis=0)
    return gradients


def _leave_one_out_means(terms: Array) -> Array:
    """Return for each term the mean of the others."""
    mean: Array = (terms.sum() - terms) / (len(terms) - 1)
    return mean


def _calibrated(surrogate: Surrogate) -> tuple[Surrogate, bool]:
    """Return the surrogate, and whether it equals the cost at 32 uniformly drawn combinations.

    If it does not, it is replaced by the regression of the cost on it, so that a poor surrogate adds no variance.
    """
    uniform = [torch.full((count,), 1 / count, dtype=torch.float64) for count in surrogate.combinations.counts]
    try:
        rows = draw(surrogate, surrogate.independent(uniform), 2 * _COST_DRAWS, [0]).accepted
    except ArchitectureError:  # hardly any combination is possible
        return surrogate, False
    costs, values = surrogate.combinations.costs(rows), surrogate.values(rows)
    if np.allclose(values, costs, rtol=_ROUNDING, atol=0):
        return surrogate, True
    slope = float(np.cov(values, costs)[0, 1] / max(values.var(ddof=1), _ROUNDING))
    level = slope * surrogate.level + costs.mean() - slope * values.mean()
    return replace(surrogate, level=level, change=slope * surrogate.change), False
