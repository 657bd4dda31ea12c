"""Evaluator: ranks each user's target by a model's scores, under all protocols in one pass."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from easrec.data import Sequences, pad, repeat_targets, times_of
from easrec.evaluation.metrics import metrics_at
from easrec.evaluation.protocols import PROTOCOLS, ranks_from_scores
from elasticnas.errors import DataError, SearchError
from elasticnas.parallel import gathered, rank, size

__all__ = ["Evaluator", "Report", "Score", "users_together"]

_SCORES = 2**26  # scores in memory at a time
_CPU_USERS = 64  # users of one pass; with more, the activations of a network of usual size leave a core's cache
_ACCELERATOR_USERS = 512  # on other devices, which wait for the host if they get less
_PAIRS = 2**28  # pairs of positions in memory at a time there, as attention with a bias holds them

Score: TypeAlias = Callable[..., Tensor]
"""``score(inputs (B, N) right padded with 0, lengths (B,)) -> (B, V + 1)``, column 0 for padding; with histories that
have times, also those of the inputs and of the event after each, two ``(B, N)``."""


def users_together(columns: int) -> int:
    """Return the number of users that are scored together, given the number of score columns."""
    return max(1, _SCORES // columns)


class Report(dict[str, dict[str, float]]):
    """Metrics by protocol: ``report["unseen"]["ndcg@10"]``.

    Attributes:
        ranks: ``(users,)`` int64 ranks by protocol, in the order of ``users``, for tests of significance.
        users: ``(users,)`` int64, the numbers of the evaluated users.
        fewest_negatives: Smallest number of negatives of a user, below the requested number if a user has too few
            candidates; None without pop100.
        repeat_targets: Share of the users whose target is in the history, which ``unseen`` counts as a miss, in 0..1.
    """

    def __init__(
        self,
        metrics: Mapping[str, dict[str, float]],
        ranks: Mapping[str, NDArray[np.int64]],
        users: NDArray[np.int64],
        fewest_negatives: int | None,
        repeat_targets: float = 0.0,
    ) -> None:
        super().__init__(metrics)
        self.ranks, self.users, self.fewest_negatives = dict(ranks), users, fewest_negatives
        self.repeat_targets = repeat_targets

    def to_flat(self) -> dict[str, float]:
        """Return the metrics as ``{"full/recall@5": ..., "pop100/ndcg@10": ...}``."""
        return {f"{protocol}/{name}": value for protocol, found in self.items() for name, value in found.items()}


class Evaluator:
    """Ranks one target per user.

    Args:
        histories: All items before the target, which count as seen; the last ``length`` of them are the model's input.
        targets: ``(users,)`` item numbers.
        negatives: ``(users, number)`` from :func:`easrec.evaluation.draw_negatives`, padded with 0; None if pop100 is
            not used.
        length: N, maximum length of the input.
        cutoffs: Cut-offs k of the metrics.
        batch_users: Maximum number of users scored together, reduced for many items to bound memory; None for 64 on the
            CPU and up to 512 on other devices, fewer for long histories.
        uniform: The same as ``negatives``, from :func:`easrec.evaluation.draw_uniform_negatives`; None if uni100 is
            not used.
        users: ``(users,)`` numbers of the users in the data, which reports and errors name; None for 0, 1, 2 ...
        items: V; None for the largest item number in the data, in which case a model may score more columns.

    Raises:
        DataError: There is no user, array lengths differ, an id is outside 1..V, or a negative equals the target.
        SearchError: ``length``, ``batch_users`` or a cut-off is below 1.
    """

    def __init__(
        self,
        histories: Sequences,
        targets: NDArray[np.int32] | NDArray[np.int64],
        negatives: NDArray[np.int64] | None,
        length: int,
        cutoffs: Sequence[int] = (5, 10, 20),
        batch_users: int | None = None,
        items: int | None = None,
        uniform: NDArray[np.int64] | None = None,
        users: NDArray[np.int64] | None = None,
    ) -> None:
        if len(histories) == 0:
            raise DataError("no user to evaluate: the data has no sequence long enough")
        given = {"length": length} | ({} if batch_users is None else {"batch_users": batch_users})
        if min([*given.values(), *cutoffs]) < 1 or not cutoffs:
            values = ", ".join(str(value) for value in (*given.values(), tuple(cutoffs)))
            raise SearchError(f"{', '.join(given)} and every cut-off must be 1 or more: got {values}")
        if len(histories.items) == 0:
            # all histories are empty, but padding indexes into this array
            histories = Sequences(np.zeros(1, dtype=np.int32), histories.starts, histories.stops)
        self.histories, self.targets = histories, targets.astype(np.int64)
        self.negatives = None if negatives is None else negatives.astype(np.int64)
        self.uniform = None if uniform is None else uniform.astype(np.int64)
        self.users = np.arange(len(histories)) if users is None else users.astype(np.int64)
        self.length, self.cutoffs, self.batch_users, self.items = length, tuple(cutoffs), batch_users, items
        self._check()
        self.repeats = repeat_targets(histories, self.targets)

    def _check(self) -> None:
        users = len(self.histories)
        if len(self.targets) != users or (self.negatives is not None and len(self.negatives) != users):
            negatives = "no" if self.negatives is None else len(self.negatives)
            raise DataError(f"{users} histories, {len(self.targets)} targets and {negatives} rows of negatives differ")
        highest = max(int(self.targets.max()), int(self.histories.items.max(initial=0)))
        different = len(np.unique(self.users))
        if different != users or len(self.users) != users:
            raise DataError(f"{users} histories and {different} different users differ")
        for drawn in (self.negatives, self.uniform):
            if drawn is None:
                continue
            if len(drawn) != users:
                raise DataError(f"{users} histories and {len(drawn)} rows of negatives differ")
            highest = max(highest, int(drawn.max(initial=0)))
            own = (drawn == self.targets[:, None]).any(1)
            if own.any():
                user = int(own.argmax())
                number = self.users[user]
                raise DataError(f"the target {self.targets[user]} of user number {number} is among its own negatives")
        last, lowest = highest if self.items is None else self.items, int(self.targets.min())
        if lowest < 1 or highest > last:
            raise DataError(f"item ids must be in 1..{last}: targets begin at {lowest}, the largest id is {highest}")
        self._columns = last + 1

    def evaluate(
        self,
        score: Score,
        device: torch.device | None = None,
        protocols: Collection[str] | None = None,
        users: NDArray[np.int64] | NDArray[np.bool_] | None = None,
        shared: bool = False,
    ) -> Report:
        """Compute every metric at every k under every protocol.

        Args:
            score: ``score(inputs (B, N) int64 right padded with 0, lengths (B,)) -> (B, V + 1)``, called without
                gradients. Ranking runs on the device of the scores. The caller switches the model to eval mode.
            device: Device of the inputs; None for the CPU.
            protocols: Protocols to rank under; None for all, ``uni100`` only with uniform negatives.
            users: Numbers of the users to evaluate, or a mask of the histories; None for all.
            shared: Whether several processes share the users; all of them must call this, and get the whole report.

        Raises:
            SearchError: A score is NaN (the message names user and protocols), or the scores have a wrong shape.
            DataError: No user is selected or one is unknown, a protocol is unknown, or pop100 has no negatives.
        """
        protocols = PROTOCOLS[: 3 if self.uniform is None else 4] if protocols is None else protocols
        chosen = self._rows_of(users)
        ranks = self._ranks(score, device, protocols, chosen, shared)
        fewest = None
        if "pop100" in ranks and self.negatives is not None:
            fewest = int((self.negatives[chosen] > 0).sum(1).min())
        metrics = {name: metrics_at(found, self.cutoffs) for name, found in ranks.items()}
        return Report(metrics, ranks, self.users[chosen], fewest, float(self.repeats[chosen].mean()))

    def _rows_of(self, users: NDArray[np.int64] | NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """Return the histories of some users."""
        rows = np.arange(len(self.users), dtype=np.int64)
        if users is not None and users.dtype == bool:
            rows = rows[users]
        elif users is not None:
            order = np.argsort(self.users)
            found = np.searchsorted(self.users[order], users).clip(max=len(order) - 1)
            rows = order[found]
            if (wrong := self.users[rows] != users).any():
                raise DataError(f"user number {users[wrong][0]} is not evaluated; choose among the evaluator's users")
        if len(rows) == 0:
            raise DataError("no user to evaluate: the choice of users is empty")
        return rows

    @torch.no_grad()
    def _ranks(
        self,
        score: Score,
        device: torch.device | None,
        protocols: Collection[str],
        chosen: NDArray[np.int64],
        shared: bool = False,
    ) -> dict[str, NDArray[np.int64]]:
        found = {name: np.zeros(len(chosen), dtype=np.int64) for name in PROTOCOLS if name in protocols}
        # batch users with histories of similar length, to reduce padding
        order = np.argsort(self.histories.lengths[chosen], kind="stable")
        together = min(self._batch_users(device), users_together(self._columns))
        firsts = list(range(0, len(order), together))
        # the users of one process are those that are scored together in any case: the same numbers, to the last bit
        for first in firsts[rank() :: size()] if shared else firsts:
            where = order[first : first + together]
            users = chosen[where]
            batch = self.histories.take(users)
            starts = np.maximum(batch.starts, batch.stops - self.length)
            inputs = torch.from_numpy(pad(batch.items, starts, batch.stops))
            lengths = torch.from_numpy(np.minimum(batch.lengths, self.length))
            when = times_of(batch, starts, batch.stops)
            scores = score(*(each.to(device) for each in (inputs, lengths, *when)))
            self._check_columns(scores)
            at = scores.device
            rows, ids = (torch.from_numpy(each).to(at) for each in batch.rows_and_items())
            negatives = None if self.negatives is None else torch.from_numpy(self.negatives[users]).to(at)
            uniform = None if self.uniform is None else torch.from_numpy(self.uniform[users]).to(at)
            targets = torch.from_numpy(self.targets[users]).to(at)
            for name, ranks in ranks_from_scores(
                scores, targets, (rows, ids), negatives, protocols, self.users[users].tolist(), uniform
            ).items():
                found[name][where] = ranks.cpu().numpy()
        return {name: np.sum(gathered(ranks), axis=0) for name, ranks in found.items()} if shared else found

    def _batch_users(self, device: torch.device | None) -> int:
        if self.batch_users is not None:
            return self.batch_users
        if device is None or device.type == "cpu":
            return _CPU_USERS
        return max(_CPU_USERS, min(_ACCELERATOR_USERS, _PAIRS // self.length**2))

    def _check_columns(self, scores: Tensor) -> None:
        columns = scores.shape[-1] if scores.ndim else 0
        if columns < self._columns or (self.items is not None and columns != self._columns):
            raise SearchError(
                f"scores need a column for every item and column 0 for padding: {self._columns} columns "
                f"for {self._columns - 1} items, got {columns}"
            )
