"""Why a step is slower than it need be, where the one who runs it can change that."""

import os

import torch

__all__ = ["slow_because"]

_FEW = 256  # positions of a batch: fewer do not fill the vector units of a core


def slow_because(device: torch.device, positions: float, batch_setting: str) -> str:
    """A reason and its remedy in a few words, empty where there is none.

    Args:
        device: Where the step runs.
        positions: Of a batch on average: sequences times their length.
        batch_setting: The setting that makes batches larger, such as ``train.batch``.
    """
    if device.type != "cpu":
        few = positions < 16 * _FEW
        return (
            f"slow: batches of {positions:.0f} positions leave the device idle (raise {batch_setting})" if few else ""
        )
    cores, threads = _cores(), torch.get_num_threads()
    if threads > cores:
        return f"slow: {threads} threads on {cores} cores (--threads {cores})"
    if positions < _FEW:
        return f"slow: batches of {positions:.0f} positions (raise {batch_setting})"
    tiny = torch.full((1,), 1e-40) * 1.0
    if bool(tiny):
        return "slow where numbers are denormal (torch.set_flush_denormal(True))"
    return ""


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
