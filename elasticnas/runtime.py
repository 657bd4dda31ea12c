"""The process: device, threads, random generators, warnings."""

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

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # parameters of glibc's mallopt


def device_of(name: str) -> torch.device:
    """Return the device of ``--device``; ``auto`` is CUDA, MPS or the CPU, in this order.

    Raises:
        ConfigError: The device is not available.
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
    """Configure torch and malloc for training.

    Sets the number of CPU threads (``--threads``). Flushes denormal floats to 0, as they can slow arithmetic down a
    hundredfold. Lets glibc reuse large buffers instead of returning them to the system after every step.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, 2**30)
            mallopt(_TRIM_THRESHOLD, 2**31 - 1)


class SeededRandom(random.Random):
    """A random generator whose state can be saved in a checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data."""
        version, internal, gauss = self.getstate()
        return {"version": version, "internal": list(internal), "gauss": gauss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        self.setstate((state["version"], tuple(state["internal"]), state["gauss"]))


def random_state() -> dict[str, Any]:
    """Return the states of the global random generators of torch, numpy and Python."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "python": [version, list(internal), gauss],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Restore the states of the global random generators."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))


def warn(line: str) -> None:
    """Give a warning that points to the first caller outside of elasticnas."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        frame, level = frame.f_back, level + 1
    warnings.warn(line, stacklevel=level)
