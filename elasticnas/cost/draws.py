"""Draws of combinations from probabilities: the same numbers at every call, redrawn where a rule forbids them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elasticnas.cost.combinations import Array, Rows
from elasticnas.cost.surrogate import Surrogate, no_weight
from elasticnas.errors import ArchitectureError

__all__ = ["Draws", "draw", "neighbourhoods", "possible_share"]

_ROUNDS = 2_000


@dataclass(frozen=True, eq=False)
class Draws:
    """Combinations drawn, independent of each other.

    Attributes:
        proposed: First proposals ``(draws, choices)``: of allowed joint options, but maybe forbidden by a rule.
        accepted: Possible combinations ``(draws, choices)``: the first proposals where possible, else later ones.
    """

    proposed: Rows
    accepted: Rows


def draw(surrogate: Surrogate, independent: Sequence[Array], count: int, seed: Sequence[int]) -> Draws:
    """Draw combinations.

    Args:
        surrogate: Knows which joint options are allowed.
        independent: Probabilities of the joint combinations, and of each other choice.
        count: How many.
        seed: The same seed takes the same random numbers, so that draws change only where the probabilities do.

    Raises:
        ArchitectureError: Rules forbid 2,000 proposals for one draw.
    """
    possible = surrogate.combinations.possible
    proposed = surrogate.rows(_drawn(independent, np.random.default_rng([*seed, 0]), count))
    accepted, missing = proposed.copy(), np.flatnonzero(~possible(proposed))
    likeliest = surrogate.rows(np.array([[p.argmax() for p in independent]]))
    for attempt in range(1, _ROUNDS):
        if not len(missing):
            return Draws(proposed, accepted)
        numbers = np.random.default_rng([*seed, attempt])
        # most probabilities would propose a forbidden combination again and again
        again = (_drawn if possible(likeliest)[0] else _drawn_otherwise)(independent, numbers, count)
        if again is None:
            raise no_weight(surrogate.combinations)
        accepted[missing] = surrogate.rows(again)[missing]
        missing = missing[~possible(accepted[missing])]
    raise ArchitectureError(
        f"{surrogate.combinations.space.__name__}: its rules forbid each of {_ROUNDS:,} combinations drawn from the "
        "probabilities; move them to combinations that it has, or give probabilities of fewer choices"
    )


def possible_share(surrogate: Surrogate, independent: Sequence[Array], count: int, seed: Sequence[int]) -> float:
    """The share of so many first proposals that is possible; arguments as for :func:`draw`."""
    rows = surrogate.rows(_drawn(independent, np.random.default_rng([*seed]), count))
    return float(surrogate.combinations.possible(rows).mean())


def _drawn(independent: Sequence[Array], numbers: np.random.Generator, count: int) -> Rows:
    """Positions ``(count, columns)``."""
    uniform = numbers.random((count, len(independent)))
    return np.stack([_inverse(p, uniform[:, column]) for column, p in enumerate(independent)], axis=1)


def _drawn_otherwise(independent: Sequence[Array], numbers: np.random.Generator, count: int) -> Rows | None:
    """Positions that are not all the likeliest; None where there are no others.

    First the column that is the first to differ, then one of its other positions; columns before it do not differ.
    """
    likeliest = [int(p.argmax()) for p in independent]
    others = [np.where(np.arange(len(p)) == at, 0.0, p) for p, at in zip(independent, likeliest, strict=True)]
    same = np.cumprod([1.0, *(p[at] for p, at in zip(independent, likeliest, strict=True))])[:-1]
    first_to_differ = same * np.array([p.sum() for p in others])
    if not first_to_differ.sum() > 0:
        return None
    rows, uniform = _drawn(independent, numbers, count), numbers.random((count, 2))
    first = _inverse(first_to_differ, uniform[:, 0])
    for column, p in enumerate(others):
        rows[first > column, column] = likeliest[column]
        here = first == column
        if here.any():
            rows[here, column] = _inverse(p, uniform[here, 1])
    return rows


def _inverse(probabilities: Array, uniform: Array) -> Rows:
    """Positions by the inverse of the distribution function; never one of probability 0."""
    cumulated = np.cumsum(probabilities)
    found = np.searchsorted(cumulated, uniform * cumulated[-1], side="right")
    at: Rows = np.minimum(found, np.flatnonzero(probabilities)[-1])
    return at


def neighbourhoods(rows: Rows, counts: Sequence[int], position: int) -> tuple[Rows, Rows]:
    """Draws with one choice at each of its options; the draws are divided among the choices, at least one for each.

    Args:
        rows: The draws ``(draws, choices)``.
        counts: How many options each choice has.
        position: The choice.

    Returns:
        Which draws, and their rows ``(these draws, options, choices)``.
    """
    at = np.arange(position, max(len(rows), len(counts)), len(counts)) % len(rows)
    around = np.repeat(rows[at][:, None], counts[position], axis=1)
    around[:, :, position] = np.arange(counts[position])
    return at, around
