"""Timing of several forms of a computation on a device, alternately, with a wait for the device around each."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from interval import ratio

__all__ = ["ids", "milliseconds", "ratios", "wait"]


def wait(device: str) -> None:
    """Wait until the device has done everything."""
    if device != "cpu":
        torch.accelerator.synchronize(torch.device(device))


def milliseconds(forms: Mapping[str, Callable[[], object]], device: str, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each form in each round, after two rounds to warm up."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for number in range(-2, rounds):
        for name in list(forms)[:: -1 if number % 2 else 1]:
            wait(device)
            begun = time.perf_counter()
            forms[name]()
            wait(device)
            if number >= 0:
                times[name].append(1000 * (time.perf_counter() - begun))
    return times


def ratios(times: Mapping[str, list[float]], to: str) -> dict[str, dict[str, float]]:
    """Return the median of each form, and its ratio to another with the 95 % interval."""
    found = {}
    for name, each in times.items():
        value, low, high = ratio(each, times[to])
        found[name] = {"ms": statistics.median(each), "ratio": value, "low": low, "high": high}
    return found


def ids(items: int, batch: int, length: int, device: str) -> torch.Tensor:
    """Return random item numbers ``(batch, length)``."""
    return torch.randint(1, items + 1, (batch, length), generator=torch.Generator().manual_seed(0)).to(device)
