"""Peak memory of this process."""

import sys
from pathlib import Path

import torch

__all__ = ["count_peak_anew", "peak_memory"]


def peak_memory(device: torch.device) -> int:
    """Bytes: on CUDA of tensors on the device, else of the resident process; 0 where the system keeps no count."""
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


def count_peak_anew(device: torch.device) -> int:
    """Start the peak again from here, where the system can do that; bytes in use now, to subtract from it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        # Linux: the highest resident set starts anew; loading, which is over, may have needed more
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status("VmRSS")
    except OSError:
        return peak_memory(device)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
