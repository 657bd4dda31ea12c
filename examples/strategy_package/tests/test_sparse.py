"""The strategy keeps what every strategy promises, and sparsemax is that of the paper."""

import pytest
import torch
from sparse import Sparse, Sparsemax

from elasticnas.testing import StrategyContract


class TestSparse(StrategyContract):
    def strategy(self):
        return Sparse()


@pytest.mark.parametrize(
    ("logits", "expected"),
    # by hand: with the two best kept, both lose (1 + 0.8 - 1) / 2 = 0.4
    [([1.0, 0.8, 0.1], [0.6, 0.4, 0.0]), ([0.0, 0.0], [0.5, 0.5]), ([0.0, 3.0], [0.0, 1.0])],
)
def test_sparsemax(logits, expected):
    given = torch.tensor(logits)
    torch.testing.assert_close(Sparsemax()(given, 0, torch.Generator()), torch.tensor(expected))
