"""available_bytes: how much memory a process can still allocate."""

import os
import sys
from pathlib import Path

__all__ = ["available_bytes"]

_MEMINFO = Path("/proc/meminfo")
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def available_bytes() -> int:
    """Return the memory that a process can still allocate within its container; ``sys.maxsize`` if unknown."""
    found = [int(text) for path in _LIMITS if (text := _read(path).strip()).isdigit()]
    free = [line.split()[1] for line in _read(_MEMINFO).splitlines() if line.startswith("MemAvailable:")]
    if free:
        found.append(1024 * int(free[0]))
    elif "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=sys.maxsize)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
