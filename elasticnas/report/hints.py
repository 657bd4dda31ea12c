"""Hints on slow training steps that the user can speed up."""

import os

import torch

__all__ = ["slowness_hint"]

_FEW = 256  # positions of a batch below which the vector units of a core are not busy


def slowness_hint(device: torch.device, positions: float, batch_setting: str) -> str:
    """Return why steps are slow and what to change, in a few words; empty if nothing is known.

    Args:
        device: The device of the training.
        positions: Average number of positions in a batch: sequences times their length.
        batch_setting: Name of the setting for the batch size, such as ``train.batch``.
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
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
