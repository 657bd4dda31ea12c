"""Draws of combinations from probabilities: same random numbers at every call, invalid combinations drawn again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elasticnas.cost.combinations import Array, Rows
from elasticnas.cost.surrogate import Surrogate, zero_weight_error
from elasticnas.errors import ArchitectureError

__all__ = ["Draws", "draw", "neighbourhoods", "possible_share"]

_ROUNDS = 2_000  # most attempts


@dataclass(frozen=True, eq=False)
class Draws:
    """Independent draws of combinations.

    Attributes:
        proposed: First proposals ``(draws, choices)``, with allowed joint options; rules may forbid them.
        accepted: Possible combinations ``(draws, choices)``: the first proposal if possible, else a later one.
    """

    proposed: Rows
    accepted: Rows


def draw(surrogate: Surrogate, independent: Sequence[Array], count: int, seed: Sequence[int]) -> Draws:
    """Draw combinations by rejection sampling.

    Args:
        surrogate: The surrogate, which knows the allowed joint options.
        independent: Probabilities of the joint combinations, and of each separate choice.
        count: Number of draws.
        seed: Determines the random numbers, so that draws change only if the probabilities do.

    Raises:
        ArchitectureError: Rules forbid all 2,000 proposals for some draw.
    """
    possible = surrogate.combinations.possible
    proposed = surrogate.rows(_draw_positions(independent, np.random.default_rng([*seed, 0]), count))
    accepted, missing = proposed.copy(), np.flatnonzero(~possible(proposed))
    likeliest = surrogate.rows(np.array([[p.argmax() for p in independent]]))
    for attempt in range(1, _ROUNDS):
        if not len(missing):
            return Draws(proposed, accepted)
        numbers = np.random.default_rng([*seed, attempt])
        # if the likeliest combination is forbidden, proposals without it: it may have nearly all the probability
        draw_positions = _draw_positions if possible(likeliest)[0] else _draw_other_positions
        redrawn = draw_positions(independent, numbers, count)
        if redrawn is None:
            raise zero_weight_error(surrogate.combinations)
        accepted[missing] = surrogate.rows(redrawn)[missing]
        missing = missing[~possible(accepted[missing])]
    raise ArchitectureError(
        f"{surrogate.combinations.space.__name__}: its rules forbid each of {_ROUNDS:,} combinations drawn from the "
        "probabilities; give more weight to valid combinations, or give probabilities of fewer choices"
    )


def possible_share(surrogate: Surrogate, independent: Sequence[Array], count: int, seed: Sequence[int]) -> float:
    """Return the fraction of first proposals that is possible; arguments as for :func:`draw`."""
    rows = surrogate.rows(_draw_positions(independent, np.random.default_rng([*seed]), count))
    return float(surrogate.combinations.possible(rows).mean())


def _draw_positions(independent: Sequence[Array], numbers: np.random.Generator, count: int) -> Rows:
    """Draw positions ``(count, columns)``."""
    uniform = numbers.random((count, len(independent)))
    return np.stack([_inverse(p, uniform[:, column]) for column, p in enumerate(independent)], axis=1)


def _draw_other_positions(independent: Sequence[Array], numbers: np.random.Generator, count: int) -> Rows | None:
    """Draw positions under the condition that not all are the likeliest; None if the others have no probability.

    Draws the first column that differs from its likeliest position, and then the position of that column.
    """
    likeliest = [int(p.argmax()) for p in independent]
    others = [np.where(np.arange(len(p)) == at, 0.0, p) for p, at in zip(independent, likeliest, strict=True)]
    same = np.cumprod([1.0, *(p[at] for p, at in zip(independent, likeliest, strict=True))])[:-1]
    first_to_differ = same * np.array([p.sum() for p in others])
    if not first_to_differ.sum() > 0:
        return None
    rows, uniform = _draw_positions(independent, numbers, count), numbers.random((count, 2))
    first = _inverse(first_to_differ, uniform[:, 0])
    for column, p in enumerate(others):
        rows[first > column, column] = likeliest[column]
        here = first == column
        if here.any():
            rows[here, column] = _inverse(p, uniform[here, 1])
    return rows


def _inverse(probabilities: Array, uniform: Array) -> Rows:
    """Map uniform numbers to positions by the inverse of the cumulative distribution; never one of probability 0."""
    cumulated = np.cumsum(probabilities)
    found = np.searchsorted(cumulated, uniform * cumulated[-1], side="right")
    positions: Rows = np.minimum(found, np.flatnonzero(probabilities)[-1])
    return positions


def neighbourhoods(rows: Rows, counts: Sequence[int], position: int) -> tuple[Rows, Rows]:
    """Set one choice of some draws to each of its options.

    Every choice has its own draws, at least one.

    Args:
        rows: The draws ``(draws, choices)``.
        counts: Number of options of each choice.
        position: The choice.

    Returns:
        The indices of the draws, and their rows ``(these draws, options, choices)``.
    """
    at = np.arange(position, max(len(rows), len(counts)), len(counts)) % len(rows)
    around = np.repeat(rows[at][:, None], counts[position], axis=1)
    around[:, :, position] = np.arange(counts[position])
    return at, around
