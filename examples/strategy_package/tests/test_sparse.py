"""Test the strategy by its contract, and sparsemax by hand."""

import pytest
import torch
from sparse import Sparse, Sparsemax

from elasticnas.testing import StrategyContract


class TestSparse(StrategyContract):
    def strategy(self):
        return Sparse()


@pytest.mark.parametrize(
    ("logits", "expected"),
    # with the two largest kept, both are reduced by (1 + 0.8 - 1) / 2 = 0.4
    [([1.0, 0.8, 0.1], [0.6, 0.4, 0.0]), ([0.0, 0.0], [0.5, 0.5]), ([0.0, 3.0], [0.0, 1.0])],
)
def test_sparsemax(logits, expected):
    given = torch.tensor(logits)
    torch.testing.assert_close(Sparsemax()(given, 0, torch.Generator()), torch.tensor(expected))
