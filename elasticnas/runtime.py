"""The process that a run lives in: its device, its threads, its random generators."""

import ctypes
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elasticnas.errors import ConfigError

__all__ = ["SeededRandom", "configure_torch", "device_of", "random_state", "restore_random_state", "warn"]

_OWN = str(Path(__file__).parent)

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of glibc's malloc.h


def device_of(name: str) -> torch.device:
    """The device that ``--device`` names.

    Raises:
        ConfigError: There is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        else:
            name = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"--device {name}: not available here ({str(error).splitlines()[0]})") from None
    return device


def configure_torch(threads: int | None) -> None:
    """What every command that trains does first.

    Threads of the CPU as ``--threads`` says. Denormal floats are taken for 0: they slow arithmetic down a hundredfold.
    glibc keeps large buffers for the next step, instead of returning each to the system and paying for fresh pages.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, 2**30)
            mallopt(_TRIM_THRESHOLD, 2**31 - 1)


class SeededRandom(random.Random):
    """A generator whose state a checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        version, internal, gauss = self.getstate()
        return {"version": version, "internal": list(internal), "gauss": gauss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where it was."""
        self.setstate((state["version"], tuple(state["internal"]), state["gauss"]))


def random_state() -> dict[str, Any]:
    """States of the global generators that dropout and shuffling draw from."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "python": [version, list(internal), gauss],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put the global generators back."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))


def warn(line: str) -> None:
    """A warning that points at the caller's code, however deep in the library it arises."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        frame, level = frame.f_back, level + 1
    warnings.warn(line, stacklevel=level)
