"""Timing of several forms of a computation on a device, alternately, with a wait for the device around each."""

import statistics
from collections.abc import Callable, Mapping
from functools import partial

import torch
from interval import ratio
from speed.alternate import time_alternately

__all__ = ["ids", "milliseconds", "ratios", "wait"]


def wait(device: str) -> None:
    """Wait until the device has done everything."""
    if device != "cpu":
        torch.accelerator.synchronize(torch.device(device))


def milliseconds(forms: Mapping[str, Callable[[], object]], device: str, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each form in each round, after a round to warm up."""

    def waited(form: Callable[[], object]) -> None:
        form()
        wait(device)

    times = time_alternately({name: partial(waited, form) for name, form in forms.items()}, rounds)
    return {name: [1000 * seconds for seconds in each] for name, each in times.items()}


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
