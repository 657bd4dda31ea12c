"""Baselines without training: popularity, and a first-order Markov chain of the last item."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from easrec.data import Sequences
from easrec.evaluation.evaluator import Score
from easrec.evaluation.popularity import popularity_scores

__all__ = ["BASELINES", "baseline_scores", "last_item_scores"]

BASELINES = ("popularity", "last item")


def baseline_scores(training: Sequences, items: int) -> dict[str, Score]:
    """Return the scorers of all baselines by name, in the order of ``BASELINES``.

    Args:
        training: Training parts of the users.
        items: V.
    """
    return {"popularity": popularity_scores(training.counts(items)), "last item": last_item_scores(training, items)}


def last_item_scores(training: Sequences, items: int) -> Score:
    """Return the scorer of a first-order Markov chain: how often does an item directly follow the user's last item?

    ``score(j | last item i) = n(i, j) * (1 + max n) + n(j)``, where n(i, j) counts how often j directly follows i in a
    training part, n(j) counts the training interactions of j, and max n is the largest n(j). So items are ordered by
    n(i, j), equal ones (such as all that never followed i) by popularity. An empty history is scored by popularity.

    Args:
        training: Training parts of the users.
        items: V.

    Returns:
        ``score(inputs (B, N), lengths (B,)) -> (B, V + 1)``, in int64, so that different counts never tie.
    """
    popularity = training.counts(items)
    scale, counts = int(popularity.max()) + 1, torch.from_numpy(popularity)
    keys, follows = np.unique(_transitions(training, items), return_counts=True)
    before, after = keys // (items + 1), (keys % (items + 1)).astype(np.int32)
    edges = np.searchsorted(before, np.arange(items + 2))

    def score(inputs: Tensor, lengths: Tensor, *when: Tensor) -> Tensor:
        last = inputs.gather(1, (lengths - 1).clamp(min=0).unsqueeze(1)).squeeze(1).cpu().numpy()
        starts, stops = edges[last], edges[last + 1]
        rows, ids = Sequences(after, starts, stops).rows_and_items()
        _, times = Sequences(follows.astype(np.int32), starts, stops).rows_and_items()
        scores = counts.repeat(len(inputs), 1)
        scores[torch.from_numpy(rows), torch.from_numpy(ids)] += torch.from_numpy(times) * scale
        return scores.to(inputs.device)

    return score


def _transitions(training: Sequences, items: int) -> NDArray[np.int64]:
    """Return ``i * (V + 1) + j`` of every pair of neighbours i, j in a sequence."""
    rows, ids = training.rows_and_items()
    neighbours = rows[1:] == rows[:-1]
    found: NDArray[np.int64] = ids[:-1][neighbours] * (items + 1) + ids[1:][neighbours]
    return found
