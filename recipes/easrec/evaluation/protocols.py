"""The ranking protocols: the candidates of each, and the ranks of targets from a matrix of scores."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from elasticnas.errors import DataError, SearchError

__all__ = ["MISSED", "PROTOCOLS", "ranks_from_scores"]

MISSED = 2**62  # rank of a target that cannot be recommended: beyond every cut-off
PROTOCOLS = ("full", "unseen", "pop100", "uni100")


def ranks_from_scores(
    scores: Tensor,
    targets: Tensor,
    seen: tuple[Tensor, Tensor],
    negatives: Tensor | None,
    protocols: Collection[str] = PROTOCOLS[:3],
    users: Sequence[int] | None = None,
    uniform: Tensor | None = None,
) -> dict[str, Tensor]:
    """Compute the rank of every target: 1 + the number of other candidates whose score is at least the target's.

    Ties count against the target, so a model with constant scores ranks it last. The candidates are all V items for
    ``full``, the items outside the history for ``unseen``, and the negatives and the target for ``pop100`` and
    ``uni100``. Under ``unseen``, as in ``recommend``, items of the history are left out: a target among them (a repeat)
    is a miss, with the rank ``MISSED``. Infinite scores are allowed.

    Args:
        scores: ``(B, V + 1)``, column i for item i; column 0 (padding) is ignored.
        targets: ``(B,)`` item numbers in 1..V.
        seen: Row and item number of each item in the histories, two ``(n,)`` tensors in any order, with repetitions.
        negatives: ``(B, number)`` distinct item numbers other than the target, padded with 0; None without ``pop100``.
        protocols: Protocols to rank under.
        users: User number of each row, for errors; None for the row numbers.
        uniform: The same as ``negatives`` for ``uni100``; None without ``uni100``.

    Returns:
        ``(B,)`` int64 ranks from 1, by protocol, on the device of the scores.

    Raises:
        SearchError: The score of a candidate is NaN (the message names user and protocols), or the shapes do not match.
        DataError: A protocol is unknown, or ``pop100`` or ``uni100`` has no negatives.

    Source: EASRec, arXiv:2402.00390v1, Section III, for leave-one-out; its code uses RecBole's ``pop100``.
    """
    drawn = {"pop100": negatives, "uni100": uniform}
    _check(scores, targets, drawn, protocols)
    rows = torch.arange(len(targets), device=scores.device)
    nan = scores.isnan()
    nan[:, 0] = False
    if bool(nan.any()):
        _reject_nan(nan, rows, targets, seen, drawn, protocols, users)
    target = scores[rows, targets].unsqueeze(1)
    # the target counts itself, so the count of scores at least as good is its rank
    better = scores >= target
    better[:, 0] = False
    found = {}
    if "full" in protocols:
        found["full"] = better.sum(1)
    for name, against in drawn.items():
        if name in protocols and against is not None:
            # a 0 among the negatives is the padding column, which is never better
            found[name] = better.gather(1, against).sum(1) + 1
    if "unseen" in protocols:
        better[seen[0], seen[1]] = False
        # an unseen target still counts itself; one that is not better than itself has been seen
        found["unseen"] = better.sum(1).where(better[rows, targets], MISSED)
    return {name: found[name] for name in PROTOCOLS if name in found}


def _check(scores: Tensor, targets: Tensor, drawn: Mapping[str, Tensor | None], protocols: Collection[str]) -> None:
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown or not protocols:
        raise DataError(f"unknown protocols {unknown}; give at least one of {', '.join(PROTOCOLS)}")
    if without := [name for name, against in drawn.items() if name in protocols and against is None]:
        raise DataError(f"{without[0]} ranks against negatives and there are none: draw them with draw_negatives first")
    if scores.ndim != 2 or len(scores) != len(targets):
        raise SearchError(
            f"scores must be (users, items + 1), column 0 for padding: got {tuple(scores.shape)} "
            f"for {len(targets)} users"
        )
    last = scores.shape[1] - 1
    if len(targets) and (int(targets.min()) < 1 or int(targets.max()) > last):
        raise SearchError(
            f"targets must be in 1..{last}, as scores have {last + 1} columns, column 0 for padding: "
            f"got {int(targets.min())}..{int(targets.max())}"
        )


def _reject_nan(
    nan: Tensor,
    rows: Tensor,
    targets: Tensor,
    seen: tuple[Tensor, Tensor],
    drawn: Mapping[str, Tensor | None],
    protocols: Collection[str],
    users: Sequence[int] | None,
) -> None:
    """Raise for the first user with a NaN score of a candidate; NaN elsewhere is harmless."""
    own = nan[rows, targets]
    unseen = nan.clone()
    unseen[seen[0], seen[1]] = False
    bad = {"full": nan.any(1), "unseen": unseen.any(1)}
    for name, against in drawn.items():
        if against is not None:
            bad[name] = nan.gather(1, against).any(1) | own
    bad = {name: where for name, where in bad.items() if name in protocols}
    anywhere = torch.stack(list(bad.values())).any(0)
    if bool(anywhere.any()):
        row = int(anywhere.nonzero()[0])
        names = ", ".join(name for name, where in bad.items() if bool(where[row]))
        user = row if users is None else users[row]
        raise SearchError(f"a score is NaN for user number {user} (protocols {names}): did training diverge?")
