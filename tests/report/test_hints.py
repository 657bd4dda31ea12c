"""What slows a step down is said with its remedy; peak memory is what the process took."""

import numpy as np
import pytest
import torch

from elasticnas.report import hints, peak_memory, slowness_hint

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quick_machine(monkeypatch):
    monkeypatch.setattr(hints, "_cores", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    yield torch.set_flush_denormal(True)
    torch.set_flush_denormal(False)


def test_nothing_to_say():
    assert slowness_hint(CPU, 5_000, "train.batch") == ""


def test_more_threads_than_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert slowness_hint(CPU, 5_000, "train.batch") == "slow: 8 threads on 4 cores (--threads 4)"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_tiny_batches_name_their_setting(device):
    assert "raise search.batch" in slowness_hint(torch.device(device), 30, "search.batch")


def test_denormals():
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot flush denormals")
    assert "set_flush_denormal" in slowness_hint(CPU, 5_000, "train.batch")


def test_peak_memory_grows_with_what_is_held():
    before = peak_memory(CPU)
    assert before > 10e6
    held = np.ones(40_000_000)
    assert peak_memory(CPU) >= before and peak_memory(CPU) > held.nbytes
