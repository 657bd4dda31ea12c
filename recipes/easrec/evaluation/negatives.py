"""Negatives for pop100: distinct items drawn by popularity, none of them the user's own."""

import numpy as np
from numpy.typing import NDArray

from easrec.data import Sequences

__all__ = ["draw_negatives"]


def draw_negatives(counts: NDArray[np.int64], own: Sequences, number: int, seed: int) -> NDArray[np.int64]:
    """Distinct negatives of every user, drawn without replacement with probability proportional to popularity.

    The largest of log(popularity) + Gumbel noise are exactly such a draw. Items without a training interaction are
    drawn only where the others do not suffice; a user with fewer candidates than ``number`` gets them all.

    Args:
        counts: ``(V + 1,)`` training interactions of every id; id 0 is padding.
        own: Everything each user has interacted with, targets included.
        number: Negatives per user.
        seed: The same seed draws the same negatives.

    Returns:
        ``(users, number)`` int64 ids, 0 where there are no more candidates.
    """
    rng = np.random.default_rng([seed, 3])
    logits = np.log(np.maximum(counts, 1e-9)).astype(np.float32)
    logits[0] = -np.inf
    number_kept = min(number, len(counts) - 1)
    drawn = np.zeros((len(own), number), dtype=np.int64)
    chunk = max(1, 4_000_000 // len(counts))  # users at a time: users x items never lies in memory whole
    for first in range(0, len(own), chunk):
        last = min(first + chunk, len(own))
        # the exponential form of Gumbel noise: -log(Exp(1)); an exact 0 would become infinite
        exponential = rng.standard_exponential((last - first, len(counts)), dtype=np.float32)
        scores = logits - np.log(np.maximum(exponential, 1e-30))
        rows = np.repeat(np.arange(last - first), own.lengths[first:last])
        ids = own.items[
            np.concatenate(
                [np.arange(a, b) for a, b in zip(own.starts[first:last], own.stops[first:last], strict=True)]
            )
        ]
        scores[rows, ids] = -np.inf
        best = np.argpartition(-scores, number_kept - 1, axis=1)[:, :number_kept]
        possible = np.take_along_axis(scores, best, axis=1) > -np.inf
        drawn[first:last, :number_kept] = np.where(possible, best, 0)
    return drawn
