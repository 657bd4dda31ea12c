"""Two gloo processes give what one process with both batches gives, on every rank."""

import pytest
import torch

from tests.parallel.cells import WRAPPERS, cells
from tests.parallel.launching import launched, torchrun

SHORT = ("ddp", "fsdp")


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    launched("tests.parallel.cells", ["one", folder])
    return folder


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[] if k in SHORT else pytest.mark.slow) for k in WRAPPERS])
def test_two_processes_equal_one(kind, oracle):
    launched("tests.parallel.cells", [kind, oracle], torchrun())
    for rank in (0, 1):
        found = torch.load(oracle / f"{kind}-rank{rank}.found", weights_only=True)
        assert found.keys() == cells(kind).keys()
        assert all(isinstance(value, float) and value < 1e-12 for value in found.values()), found
