"""Checks of the events of a stream: a wrong item number or time would give other scores without a word."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from easrec.times import require_seconds
from elasticnas.errors import DataError, short_repr

__all__ = ["require_histories", "require_next_events"]


def require_histories(
    histories: Sequence[Sequence[int]], times: Sequence[Sequence[int]] | None, catalogue: int
) -> None:
    """Check the histories from which streams start.

    Args:
        histories: Item numbers of every user.
        times: Seconds of these events, if the network uses them.
        catalogue: V, the number of items.

    Raises:
        DataError: There is no history or an empty one, an item number is not 1..V, or times are not one for each event,
            or no seconds.
    """
    if not histories or not all(len(history) for history in histories):
        raise DataError("a stream starts from at least one event of every user")
    for each in histories:
        _require_items(each, catalogue)
    if times is not None and list(map(len, times)) != list(map(len, histories)):
        raise DataError("times are needed of each event of a history, as many as events")
    for each in times or ():
        require_seconds(each)


def require_next_events(items: Tensor, times: Tensor | None, users: int, catalogue: int) -> None:
    """Check one more event of every user.

    Args:
        items: ``(B,)`` item numbers.
        times: ``(B,)`` seconds of the events, if the network uses them.
        users: B.
        catalogue: V, the number of items.

    Raises:
        DataError: A tensor has another shape or no integers, an item number is not 1..V, or a time is not in seconds.
    """
    for name, given in (("items", items), ("times", times)):
        if given is not None and not _are_integers(given, users):
            got = f"{given.dtype} {tuple(given.shape)}" if isinstance(given, Tensor) else short_repr(given)
            raise DataError(f"{name} are an int64 tensor with one entry for each of {users} users (got {got})")
    _require_items(items.cpu(), catalogue)
    if times is not None:
        require_seconds(times.tolist())


def _are_integers(given: object, users: int) -> bool:
    if not isinstance(given, Tensor) or tuple(given.shape) != (users,):
        return False
    return not (given.is_floating_point() or given.is_complex()) and given.element_size() > 1


def _require_items(numbers: Any, catalogue: int) -> None:
    found = np.asarray(numbers)
    if found.ndim != 1 or found.dtype.kind not in "iu" or found.min() < 1 or found.max() > catalogue:
        raise DataError(f"items are whole numbers from 1 to {catalogue} (got {short_repr(found.tolist())})")
