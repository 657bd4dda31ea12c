"""Global time split, by hand."""

import numpy as np
import pytest

from easrec.data.time_split import points_of_shares, time_split
from elasticnas.errors import DataError

#         user 0         user 1      user 2 user 3
ITEMS = [1, 2, 3, 4, 2, 5, 1, 1, 6, 3]
TIMES = [1, 2, 10, 20, 3, 25, 12, 13, 4, 5]
OFFSETS = [0, 4, 6, 8, 10]


def arrays():
    return np.array(ITEMS, dtype=np.int32), np.array(TIMES), np.array(OFFSETS)


def test_by_hand():
    found = time_split(*arrays(), 10, 20)
    assert [found.training[u].tolist() for u in range(4)] == [[1, 2], [2], [], [6, 3]]
    # validation is 10..19: user 0 has item 3, user 2 is cold
    assert found.validation.users.tolist() == [0] and found.validation.targets.tolist() == [3]
    assert found.validation.histories[0].tolist() == [1, 2]
    assert (found.validation.cold_users, found.validation.cold_targets) == (1, 0)
    # test is 20 and later: items 4 and 5 have no training interaction
    assert found.test.users.tolist() == [0, 1] and found.test.targets.tolist() == [4, 5]
    assert [found.test.histories[u].tolist() for u in range(2)] == [[1, 2, 3], [2]]
    assert (found.test.cold_users, found.test.cold_targets) == (0, 2)


def test_points_of_shares():
    assert points_of_shares(np.array([5, 1, 2, 3, 4, 6, 7, 8, 10, 9]), 0.2, 0.1) == (8, 10)
    with pytest.raises(DataError, match=r"leave a training part: got 0\.5 and 0\.5"):
        points_of_shares(np.arange(4), 0.5, 0.5)


def test_errors_name_the_values():
    with pytest.raises(DataError, match="must begin after the validation window: got 20 and 20"):
        time_split(*arrays(), 20, 20)
    with pytest.raises(DataError, match="in the test window; choose other points"):
        time_split(*arrays(), 10, 90)
