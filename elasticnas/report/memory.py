"""Peak memory of this process."""

import sys
from pathlib import Path

import torch

__all__ = ["peak_memory", "reset_peak_memory"]


def peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes.

    On CUDA it is that of tensors on the device, otherwise the peak resident set of the process; 0 if the system does
    not report it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        return _status("VmHWM")
    except OSError:
        pass
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak_memory(device: torch.device) -> int:
    """Reset the peak, if the system can do that, and return the bytes in use, to subtract from a later peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        # Linux: reset the peak resident set, as loading may have needed more
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status("VmRSS")
    except OSError:
        return peak_memory(device)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
