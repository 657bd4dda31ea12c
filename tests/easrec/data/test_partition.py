"""Partitions against loops in plain Python, and by hand."""

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from easrec.data.partition import (
    Partition,
    by_session,
    by_time,
    cold_targets,
    given,
    leave_one_out,
    points_of_shares,
)
from elasticnas.errors import DataError

LIMITS = 0, 9
histories = st.lists(st.lists(st.integers(*LIMITS), min_size=1, max_size=6).map(sorted), min_size=1, max_size=6)
points = st.tuples(st.integers(*LIMITS), st.integers(*LIMITS))


def arrays(users, dtype=np.int64):
    flat = np.array([value for user in users for value in user], dtype=dtype)
    return flat, np.cumsum([0, *map(len, users)]).astype(np.int64)


def plain(found):
    return found.training.tolist(), found.validation.tolist(), found.test.tolist(), found.cold_users


def first_items(parts):
    """Training lengths, targets of both windows and cold users, for 0, 1 or 2 at every interaction."""
    training, targets, cold, begin = [], ([], []), [0, 0], 0
    for user in parts:
        training.append(begin + sum(part == 0 for part in user))
        for window in (1, 2):
            target = -1
            for place, part in enumerate(user):
                if part == window:
                    target = begin + place if place else -1
                    cold[window - 1] += place == 0
                    break
            targets[window - 1].append(target)
        begin += len(user)
    return training, *targets, tuple(cold)


def refused(oracle, parts):
    return all(part > 0 for user in parts for part in user) or any(max(targets) < 0 for targets in oracle[1:3])


def part_of(time, validation, test):
    return (time >= validation) + (time >= test)


@drawn(histories, points)
def test_time_is_what_a_loop_finds(users, window):
    validation, test = window
    parts = [[part_of(time, validation, test) for time in user] for user in users]
    oracle = first_items(parts)
    if test <= validation or refused(oracle, parts):
        with pytest.raises(DataError):
            by_time(*arrays(users), validation, test)
        return
    found = by_time(*arrays(users), validation, test)
    assert plain(found) == oracle
    found.check(arrays(users)[1])


@drawn(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(sorted), min_size=1, max_size=6))
def test_given_parts_are_what_a_loop_finds(parts):
    oracle = first_items(parts)
    if refused(oracle, parts):
        with pytest.raises(DataError):
            given(*arrays(parts, np.int8))
        return
    found = given(*arrays(parts, np.int8))
    assert plain(found) == oracle
    found.check(arrays(parts)[1])


@drawn(histories, points)
def test_sessions_are_what_a_loop_finds(sessions, window):
    validation, test = window
    training, targets, cold, begin = [], ([], []), [0, 0], 0
    for session in sessions:
        part, end = part_of(session[-1], validation, test), begin + len(session)
        training.append(begin if part else end)
        for window in (1, 2):
            targets[window - 1].append(end - 1 if part == window and len(session) > 1 else -1)
            cold[window - 1] += part == window and len(session) == 1
        begin = end
    nothing = all(session[-1] >= validation for session in sessions)
    if test <= validation or nothing or any(max(each) < 0 for each in targets):
        with pytest.raises(DataError):
            by_session(*arrays(sessions), validation, test)
        return
    found = by_session(*arrays(sessions), validation, test)
    assert plain(found) == (training, *targets, tuple(cold))
    found.check(arrays(sessions)[1])


@drawn(histories, points, st.randoms())
def test_what_happens_after_the_validation_point_changes_no_training_part(users, window, random):
    validation, test = window
    try:
        found = by_time(*arrays(users), validation, test)
    except DataError:
        return
    later = [time for user in users for time in user if time >= validation]
    random.shuffle(later)
    changed = [sorted(later.pop() if time >= validation else time for time in user) for user in users]
    try:
        again = by_time(*arrays(changed), validation, test)
    except DataError:  # a window lost its only target
        return
    assert again.training.tolist() == found.training.tolist()


@drawn(histories, st.data())
def test_cold_targets_are_what_a_loop_finds(users, data):
    _, offsets = arrays(users)
    items = data.draw(st.lists(st.integers(1, 4), min_size=int(offsets[-1]), max_size=int(offsets[-1])))
    try:
        found = by_time(*arrays(users), 3, 6)
    except DataError:
        return
    trained = {items[p] for u, stop in enumerate(found.training) for p in range(offsets[u], stop)}
    expected = tuple(
        sum(p >= 0 and items[p] not in trained for p in targets) for targets in (found.validation, found.test)
    )
    assert cold_targets(found, np.array(items, dtype=np.int32), offsets) == expected


def test_leave_one_out_by_hand():
    found = leave_one_out(np.array([0, 3, 8]))
    assert plain(found) == ([1, 6], [1, 6], [2, 7], (0, 0))
    with pytest.raises(DataError, match="3 interactions of each user; 1 users have fewer"):
        leave_one_out(np.array([0, 2, 5]))


def test_points_of_shares():
    assert points_of_shares(np.array([5, 1, 2, 3, 4, 6, 7, 8, 10, 9]), 0.8, 0.9) == (9, 10)
    assert points_of_shares(np.arange(100), 0.29, 0.58) == (29, 58)
    assert points_of_shares(np.array([3, 1]), 0.6, 0.99) == (3, 3)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: points_of_shares(np.arange(4), 0.9, 0.8), r"such as 80% and 90%: got 0\.9 and 0\.8"),
        (lambda: points_of_shares(np.arange(0), 0.8, 0.9), "at least one interaction"),
        (lambda: by_time(*arrays([[1, 2], [3]]), 5, 5), "got 5 and 5; choose points further apart"),
        (lambda: by_time(*arrays([[2, 1], [3]]), 2, 3), "sort the interactions of each user by time"),
        (lambda: by_time(*arrays([[5, 6]]), 3, 6), "training part is empty; choose other points in time"),
        (lambda: by_time(*arrays([[1, 2], [7]]), 5, 6), r"validation window: none .* \(0 have only the first\)"),
        (lambda: by_time(*arrays([[1, 5], [7]]), 5, 6), r"test window: none .* \(1 have only the first\); choose"),
        (lambda: given(*arrays([[1, 0, 2]], np.int8)), "in the order training, validation, test"),
        (lambda: given(*arrays([[0, 1]], np.int8)), r"test window: none .*; give other parts"),
    ],
)
def test_errors_name_rule_and_way_out(call, said):
    with pytest.raises(DataError, match=said):
        call()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "some"}, "no split is called 'some'"),
        ({"training": [2, 4]}, "not one position for each user"),
        ({"training": [-1, 3, 5]}, "beyond their users"),
        ({"training": [2, 3, 7]}, "beyond their users"),
        ({"test": [2, 3, 4]}, "test targets lie outside"),  # the first item of user 1 has no history
        ({"validation": [1, -1, -1]}, "validation targets lie outside their users, or in training"),
        ({"validation": [-1, -1, -1]}, "validation targets"),
    ],
)
def test_positions_outside_their_users_are_found(changes, said):
    kept = {"training": [2, 3, 5], "validation": [2, -1, -1], "test": [-1, 4, -1]}
    with pytest.raises(ValueError, match=said):
        Partition(
            changes.pop("kind", "time"),
            **{name: np.array(value, dtype=np.int64) for name, value in (kept | changes).items()},
        ).check(np.array([0, 3, 5, 6]))
