"""Partition: which interactions train, and which are targets; leave-one-out, global time, sessions, given parts."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from elasticnas.errors import DataError

__all__ = [
    "Kind",
    "Partition",
    "by_session",
    "by_time",
    "cold_targets",
    "given",
    "leave_one_out",
    "points_of_shares",
    "tied",
]

Kind: TypeAlias = Literal["last", "time", "sessions", "given"]

Positions: TypeAlias = NDArray[np.int64]
_NONE = -1  # position of a target that does not exist
_WINDOWS = ("validation", "test")


@dataclass(frozen=True, eq=False)
class Partition:
    """Which interactions train, and which are targets.

    Attributes:
        kind: Rule of the split: the last items (leave-one-out), points in time, whole sessions, or given parts.
        training: ``(users,)`` int64, the position after each user's last training item in ``Interactions.items``; equal
            to ``offsets[u]`` where user u has none.
        validation: ``(users,)`` int64, the position of the validation target; -1 for users who are not evaluated. All
            items of the user before it are the history.
        test: The same for the test target.
        cold_users: Number of users with an interaction in the validation and in the test window but none before it, who
            are not evaluated.
    """

    kind: Kind
    training: Positions
    validation: Positions
    test: Positions
    cold_users: tuple[int, int] = (0, 0)

    def check(self, offsets: Positions) -> None:
        """Check that all positions lie inside the users' ranges.

        Raises:
            ValueError: They do not.
        """
        begin, end = offsets[:-1], offsets[1:]
        if self.kind not in get_args(Kind) or len(self.cold_users) != 2:
            raise ValueError(f"no split is called {self.kind!r:.40}")
        for name, array in (("training", self.training), ("validation", self.validation), ("test", self.test)):
            if array.dtype != np.int64 or array.shape != begin.shape:
                raise ValueError(f"{name} is not one position for each user")
        if (self.training < begin).any() or (self.training > end).any():
            raise ValueError("training parts reach beyond their users")
        for name, targets in zip(_WINDOWS, (self.validation, self.test), strict=True):
            inside = (targets > begin) & (targets >= self.training) & (targets < end)
            if not (inside | (targets == _NONE)).all() or not inside.any():
                raise ValueError(f"{name} targets lie outside their users, or in training parts")


def leave_one_out(offsets: Positions) -> Partition:
    """Each user's last item is the test target, the one before it the validation target.

    Args:
        offsets: ``(users + 1,)``: user u has the positions ``offsets[u]..offsets[u + 1] - 1``.

    Raises:
        DataError: A user has fewer than 3 interactions.
    """
    if (short := np.diff(offsets) < 3).any():
        raise DataError(f"leave-one-out needs 3 interactions of each user; {int(short.sum())} users have fewer")
    return Partition("last", offsets[1:] - 2, offsets[1:] - 2, offsets[1:] - 1)


def by_time(times: NDArray[np.int64], offsets: Positions, validation: int, test: int) -> Partition:
    """Split by two points in time, the same for all users.

    What is before ``validation`` trains. The target of a window is the user's first item in it, and everything before
    that item is its history. Users without a history are cold: they are counted and not evaluated.

    Args:
        times: ``(interactions,)``, in order for each user.
        offsets: ``(users + 1,)``: user u has the positions ``offsets[u]..offsets[u + 1] - 1``.
        validation: First time of the validation window.
        test: First time of the test window, which ends the validation window.

    Raises:
        DataError: ``test`` is not after ``validation``, a user's times are not in order, nothing is before
            ``validation``, or no user can be evaluated in a window.
    """
    _check_points(times, offsets, validation, test)
    begins = [offsets[:-1] + _count(times < point, offsets) for point in (validation, test)]
    return _first_items("time", offsets, begins[0], begins[1], "choose other points in time")


def by_session(times: NDArray[np.int64], offsets: Positions, validation: int, test: int) -> Partition:
    """Split whole sessions, one for each user number, by two points in time.

    A session belongs to the part in which its last interaction lies. Sessions before ``validation`` train, with all
    their items. The target of later ones is their last item, and the items before it are its history. Sessions of one
    item are counted as cold and not evaluated.

    Args:
        times: ``(interactions,)``, in order for each session.
        offsets: ``(sessions + 1,)``: session s has the positions ``offsets[s]..offsets[s + 1] - 1``.
        validation: First time of the validation window.
        test: First time of the test window, which ends the validation window.

    Raises:
        DataError: As for :func:`by_time`.
    """
    _check_points(times, offsets, validation, test)
    begin, last = offsets[:-1], offsets[1:] - 1
    end = times[last]
    inside = [(end >= validation) & (end < test), end >= test]
    targets = [np.where(window & (last > begin), last, _NONE) for window in inside]
    cold = [int((window & (last == begin)).sum()) for window in inside]
    training = np.where(end < validation, last + 1, begin)
    return _checked("sessions", offsets, training, targets, cold, "choose other points in time")


def given(parts: NDArray[np.int8], offsets: Positions) -> Partition:
    """Split by given parts, such as three files.

    The target of a part is the user's first item in it, and everything before that item, also of earlier parts, is its
    history. Users without a history are cold: they are counted and not evaluated.

    Args:
        parts: ``(interactions,)``: 0 for training, 1 for validation, 2 for test, ascending for each user.
        offsets: ``(users + 1,)``: user u has the positions ``offsets[u]..offsets[u + 1] - 1``.

    Raises:
        DataError: A user's parts are not ascending, or training or a part that can be evaluated is empty.
    """
    if _descends(parts, offsets):
        raise DataError("the parts of a user must be in the order training, validation, test; sort them by part first")
    begins = [offsets[:-1] + _count(parts < part, offsets) for part in (1, 2)]
    return _first_items("given", offsets, begins[0], begins[1], "give other parts")


def points_of_shares(
    times: NDArray[np.int64], validation_begin_share: float, test_begin_share: float
) -> tuple[int, int]:
    """Return the points in time at which the validation and the test window begin, given as shares of interactions.

    Args:
        times: ``(interactions,)`` in any order.
        validation_begin_share: Share of the interactions before the validation window, such as 0.8; interactions at the
            same time are never separated, so the real share may be smaller.
        test_begin_share: The same for the test window, such as 0.9.

    Raises:
        DataError: The shares are not ascending between 0 and 1, or there is no interaction.
    """
    if not 0 < validation_begin_share < test_begin_share < 1:
        raise DataError(
            "the windows must begin at ascending shares between 0 and 1, such as 80% and 90%: "
            f"got {validation_begin_share:.4g} and {test_begin_share:.4g}"
        )
    if len(times) == 0:
        raise DataError("a split by time needs at least one interaction")
    shares = validation_begin_share, test_begin_share
    first, second = (min(round(len(times) * share), len(times) - 1) for share in shares)
    ordered = np.partition(times, [first, second])
    return int(ordered[first]), int(ordered[second])


def cold_targets(partition: Partition, items: NDArray[np.int32], offsets: Positions) -> tuple[int, int]:
    """Count the validation and the test targets that occur in no training part."""
    known = np.zeros(int(items.max(initial=0)) + 1, dtype=bool)
    known[items[np.arange(len(items)) < np.repeat(partition.training, np.diff(offsets))]] = True
    validation, test = (
        int((~known[items[targets[targets != _NONE]]]).sum()) for targets in (partition.validation, partition.test)
    )
    return validation, test


def tied(times: NDArray[np.int64], offsets: Positions, users: Positions, at: Positions) -> NDArray[np.bool_]:
    """Return which targets have the same time as the interaction before or after them, of the same user.

    Args:
        times: ``(interactions,)``, in order for each user.
        offsets: ``(users + 1,)``: user u has the positions ``offsets[u]..offsets[u + 1] - 1``.
        users: ``(targets,)`` numbers of the users.
        at: ``(targets,)`` positions of the targets; each has an interaction before it.
    """
    after = np.minimum(at + 1, offsets[1:][users] - 1)
    found: NDArray[np.bool_] = (times[at] == times[at - 1]) | ((times[at] == times[after]) & (after > at))
    return found


def _check_points(times: NDArray[np.int64], offsets: Positions, validation: int, test: int) -> None:
    if test <= validation:
        raise DataError(
            f"the test window must begin after the validation window: got {validation} and {test}; "
            "choose points further apart"
        )
    if _descends(times, offsets):
        raise DataError("the times of a user are not in order; sort the interactions of each user by time")


def _descends(values: NDArray[np.int64] | NDArray[np.int8], offsets: Positions) -> bool:
    """Return whether a value is below the one before it of the same user."""
    below = values[1:] < values[:-1]
    edges = offsets[1:-1]
    below[edges[(edges > 0) & (edges < len(values))] - 1] = False  # from one user to the next
    return bool(below.any())


def _count(chosen: NDArray[np.bool_], offsets: Positions) -> Positions:
    """Count the chosen interactions of each user."""
    total = np.concatenate([[0], np.cumsum(chosen, dtype=np.int64)])
    counted: Positions = total[offsets[1:]] - total[offsets[:-1]]
    return counted


def _first_items(kind: Kind, offsets: Positions, validation: Positions, test: Positions, way_out: str) -> Partition:
    """Return the partition whose windows begin at these positions of each user."""
    begin, end = offsets[:-1], offsets[1:]
    targets, cold = [], []
    for first, stop in ((validation, test), (test, end)):
        inside, warm = stop > first, first > begin
        targets.append(np.where(inside & warm, first, _NONE))
        cold.append(int((inside & ~warm).sum()))
    return _checked(kind, offsets, validation, targets, cold, way_out)


def _checked(
    kind: Kind, offsets: Positions, training: Positions, targets: list[Positions], cold: list[int], way_out: str
) -> Partition:
    if (training == offsets[:-1]).all():
        raise DataError(f"the training part is empty; {way_out}")
    for name, found, users in zip(_WINDOWS, targets, cold, strict=True):
        if (found == _NONE).all():
            raise DataError(
                f"no user can be evaluated in the {name} window: none has an item in it and one before it "
                f"({users} have only the first); {way_out}"
            )
    return Partition(kind, training, targets[0], targets[1], (cold[0], cold[1]))
