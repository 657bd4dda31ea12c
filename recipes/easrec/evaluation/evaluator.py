"""Evaluator: full ranking, full ranking over unseen items, and pop100, in one pass."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from easrec.data import Sequences, pad
from easrec.evaluation.metrics import metrics_at
from elasticnas.errors import DataError, SearchError

__all__ = ["PROTOCOLS", "Evaluator", "ranks"]

PROTOCOLS = ("full", "unseen", "pop100")
Score = Callable[[Tensor, Tensor], Tensor]


def ranks(scores: Tensor, targets: Tensor, seen: tuple[Tensor, Tensor], negatives: Tensor) -> dict[str, Tensor]:
    """Rank of every target under the three protocols, from 1; ties count against the target.

    Args:
        scores: ``(B, V + 1)``; column 0 (padding) is ignored.
        targets: ``(B,)`` ids.
        seen: Row and id of everything in the histories, two ``(n,)`` tensors; a target that is there still ranks.
        negatives: ``(B, number)`` ids, 0 where there is none.

    Returns:
        ``full``: among all items; ``unseen``: among the items outside the history; ``pop100``: among the negatives.
    """
    rows = torch.arange(len(targets), device=scores.device)
    target = scores[rows, targets].unsqueeze(1)
    # the target itself counts once: with it, "at least as good" is the rank
    better = scores >= target
    better[:, 0] = False
    full = better.sum(1)
    known = better.clone()
    known[seen[0], seen[1]] = False
    known[rows, targets] = True
    among = (scores.gather(1, negatives) >= target) & (negatives > 0)
    return {"full": full, "unseen": known.sum(1), "pop100": among.sum(1) + 1}


class Evaluator:
    """Ranks the one target of every user.

    Args:
        histories: Everything before the target; the last ``length`` items are the model's input, all of it is seen.
        targets: ``(users,)`` ids.
        negatives: ``(users, number)`` from :func:`easrec.evaluation.draw_negatives`.
        length: N.
        ks: Cut-offs.
        batch_users: Users scored together.
    """

    def __init__(
        self,
        histories: Sequences,
        targets: NDArray[np.int32],
        negatives: NDArray[np.int64],
        length: int,
        ks: Sequence[int] = (5, 10, 20),
        batch_users: int = 256,
    ) -> None:
        if len(histories) == 0:
            raise DataError("no user to evaluate: the data has no sequence long enough")
        self.histories, self.targets, self.negatives = histories, targets.astype(np.int64), negatives
        self.length, self.ks, self.batch_users = length, tuple(ks), batch_users
        # users of similar length together: short histories are not padded to the longest
        self._order = np.argsort(histories.lengths, kind="stable")

    @torch.no_grad()
    def ranks(self, score: Score, device: torch.device) -> dict[str, NDArray[np.int64]]:
        """Rank of every user's target by protocol.

        Args:
            score: ``score(inputs (B, N) right padded with 0, lengths (B,)) -> (B, V + 1)``.
            device: Where the inputs go.

        Raises:
            SearchError: A score is NaN; the message names the user's position.
        """
        found = {name: np.zeros(len(self.targets), dtype=np.int64) for name in PROTOCOLS}
        for first in range(0, len(self._order), self.batch_users):
            users = self._order[first : first + self.batch_users]
            starts, stops = self.histories.starts[users], self.histories.stops[users]
            inputs = torch.from_numpy(pad(self.histories.items, np.maximum(starts, stops - self.length), stops))
            lengths = torch.from_numpy(np.minimum(stops - starts, self.length))
            scores = score(inputs.to(device), lengths.to(device))
            if bool(torch.isnan(scores).any()):
                bad = int(torch.isnan(scores).any(1).nonzero()[0])
                raise SearchError(f"the model's scores are NaN for user number {users[bad]}: did training diverge?")
            rows = np.repeat(np.arange(len(users)), stops - starts)
            ids = np.concatenate([self.histories.items[a:b] for a, b in zip(starts, stops, strict=True)])
            seen = (torch.from_numpy(rows).to(device), torch.from_numpy(ids.astype(np.int64)).to(device))
            targets = torch.from_numpy(self.targets[users]).to(device)
            negatives = torch.from_numpy(self.negatives[users]).to(device)
            for name, value in ranks(scores, targets, seen, negatives).items():
                found[name][users] = value.cpu().numpy()
        return found

    def evaluate(self, score: Score, device: torch.device) -> dict[str, dict[str, float]]:
        """Every metric at every k under every protocol: ``{"unseen": {"ndcg@10": ...}, ...}``."""
        return {name: metrics_at(found, self.ks) for name, found in self.ranks(score, device).items()}
