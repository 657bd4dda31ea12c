"""recommended: the list that every user would get."""

import numpy as np
import torch
from numpy.typing import NDArray

from easrec.data import Sequences, pad, times_of
from easrec.evaluation.evaluator import Score, users_together

__all__ = ["recommended"]


@torch.no_grad()
def recommended(
    score: Score,
    histories: Sequences,
    items: int,
    length: int,
    k: int,
    device: torch.device | None = None,
    repeats: bool = False,
) -> NDArray[np.int64]:
    """Return the k items with the highest scores of every user, as ``recommend`` does.

    Args:
        score: See :class:`easrec.evaluation.Evaluator`.
        histories: All items of each user so far; the last ``length`` are the model's input.
        items: V.
        length: N.
        k: Length of the lists.
        device: Device of the inputs; None for the CPU.
        repeats: Whether items of the history are in the lists.

    Returns:
        ``(users, k)`` item numbers, best first, right padded with 0 where fewer items are left.
    """
    found = np.zeros((len(histories), k), dtype=np.int64)
    together, best = min(256, users_together(items + 1)), min(k, items)
    for first in range(0, len(histories), together):
        batch = histories.take(np.arange(first, min(first + together, len(histories))))
        starts = np.maximum(batch.starts, batch.stops - length)
        inputs = torch.from_numpy(pad(batch.items, starts, batch.stops))
        lengths = torch.from_numpy(np.minimum(batch.lengths, length))
        given = inputs, lengths, *times_of(batch, starts, batch.stops)
        scores = score(*(each.to(device) for each in given)).double()  # a copy, with room for -inf
        scores[:, 0] = -torch.inf
        if not repeats:
            rows, ids = batch.rows_and_items()
            scores[torch.from_numpy(rows), torch.from_numpy(ids)] = -torch.inf
        top = scores.topk(best)
        chosen = top.indices.where(top.values > -torch.inf, 0)
        found[first : first + len(batch), :best] = chosen.cpu().numpy()
    return found
