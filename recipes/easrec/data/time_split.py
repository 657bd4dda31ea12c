"""Global time split: one point in time for validation and one for test, the same for all users."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from easrec.data.split import Sequences
from elasticnas.errors import DataError

__all__ = ["TimeSplit", "Window", "points_of_shares", "time_split"]


@dataclass(frozen=True)
class Window:
    """The targets of one stage: each user's first item in the window, if it can be evaluated.

    Attributes:
        users: Numbers of the evaluated users.
        histories: All their items before the window.
        targets: ``(users,)`` item numbers.
        cold_users: Users with an item in the window and none before it, who are not evaluated.
        cold_targets: Evaluated users whose target has no training interaction.
    """

    users: NDArray[np.int64]
    histories: Sequences
    targets: NDArray[np.int32]
    cold_users: int
    cold_targets: int


@dataclass(frozen=True)
class TimeSplit:
    """Training parts of all users (empty for some), and the windows of validation and test."""

    training: Sequences
    validation: Window
    test: Window


def points_of_shares(times: NDArray[np.int64], validation: float, test: float) -> tuple[int, int]:
    """Return the points in time after which the last ``validation + test`` and ``test`` shares of events begin."""
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise DataError(f"shares must be above 0 and leave a training part: got {validation} and {test}")
    ordered = np.sort(times)
    first, second = (round(len(ordered) * (1 - share)) for share in (validation + test, test))
    return int(ordered[first]), int(ordered[second])


def time_split(
    items: NDArray[np.int32], times: NDArray[np.int64], offsets: NDArray[np.int64], validation: int, test: int
) -> TimeSplit:
    """Split sequences by two points in time: training is before ``validation``, which ends where ``test`` begins.

    Args:
        items: ``(interactions,)`` item numbers, user after user, each user's in time order.
        times: ``(interactions,)`` times of the interactions.
        offsets: ``(users + 1,)``: user u has ``items[offsets[u]:offsets[u + 1]]``.
        validation: First time of the validation window.
        test: First time of the test window.

    Raises:
        DataError: ``test`` is not after ``validation``, or training or a window is empty.
    """
    if test <= validation:
        raise DataError(f"the test window must begin after the validation window: got {validation} and {test}")
    ends = [offsets[:-1] + _before(times, offsets, point) for point in (validation, test)]
    training = Sequences(items, offsets[:-1], ends[0])
    known = training.counts(int(items.max(initial=0))) > 0
    windows = [
        _window(items, offsets, begin, end, known) for begin, end in ((ends[0], ends[1]), (ends[1], offsets[1:]))
    ]
    for name, window in zip(("validation", "test"), windows, strict=True):
        if len(window.users) == 0:
            raise DataError(f"no user has an item both before and in the {name} window; choose other points in time")
    return TimeSplit(training, *windows)


def _before(times: NDArray[np.int64], offsets: NDArray[np.int64], point: int) -> NDArray[np.int64]:
    """Count each user's interactions before a point in time."""
    total = np.concatenate([[0], np.cumsum(times < point)])
    counted: NDArray[np.int64] = total[offsets[1:]] - total[offsets[:-1]]
    return counted


def _window(
    items: NDArray[np.int32],
    offsets: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> Window:
    inside, warm = end > begin, begin > offsets[:-1]
    users = np.flatnonzero(inside & warm)
    targets = items[begin[users]]
    histories = Sequences(items, offsets[:-1][users], begin[users])
    return Window(users, histories, targets, int((inside & ~warm).sum()), int((~known[targets]).sum()))
