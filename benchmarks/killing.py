"""Kill the own process with SIGKILL inside one of its writes, for ``kills.py``."""

import builtins
import io
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["watch"]

_TEMPORARY = re.compile(r"^\.(.+)\.[^.]+\.elasticnas-tmp$")


def watch(folder: Path, log: Path, kill_at: int | None) -> None:
    """Intercept every write of this process below a folder, and kill the process in one of them.

    A write to a file is killed after half of its bytes; replacing, truncating or deleting a file, before or after.

    Args:
        folder: Folder of the intercepted files.
        log: File that gets one line for each possible kill, up to the actual one.
        kill_at: Number of the point at which to kill, from 0; None for never.
    """
    _Watch(folder.resolve(), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), kill_at).begin()


class _Watch:
    def __init__(self, folder: Path, log: int, kill_at: int | None) -> None:
        self.folder, self.log, self.left = folder, log, kill_at
        self.open, self.system = io.open, {name: getattr(os, name) for name in ("replace", "truncate", "unlink")}

    def begin(self) -> None:
        builtins.open = io.open = self._opened  # type: ignore[assignment]
        os.replace = lambda source, target: self._around("replace", target, source, target)  # type: ignore[assignment]
        os.truncate = lambda path, size: self._around("truncate", path, path, size)  # type: ignore[assignment]
        os.unlink = lambda path, **options: self._around("unlink", path, path, **options)  # type: ignore[assignment]

    def _opened(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        opened = self.open(file, mode, *arguments, **options)
        path = os.readlink(f"/proc/self/fd/{opened.fileno()}")
        if set(mode) & set("wax+") and Path(path).is_relative_to(self.folder):
            write = opened.write

            def half(data: Any) -> None:
                write(data[: len(data) // 2])
                opened.flush()

            def written(data: Any) -> Any:
                self._point("half of a write to", path, lambda: half(data))
                return write(data)

            opened.write = written
        return opened

    def _around(self, operation: str, path: Any, *arguments: Any, **options: Any) -> None:
        counted = Path(path).absolute().is_relative_to(self.folder)
        if counted:
            self._point(f"before {operation} of", path)
        self.system[operation](*arguments, **options)
        if counted:
            self._point(f"after {operation} of", path)

    def _point(self, moment: str, path: Any, before_kill: Callable[[], None] = lambda: None) -> None:
        name = Path(path).name
        if found := _TEMPORARY.match(name):
            name = f"{found[1]}, temporary"
        os.write(self.log, f"{moment} {name}\n".encode())
        if self.left == 0:
            before_kill()
            os.kill(os.getpid(), signal.SIGKILL)
        self.left = None if self.left is None else self.left - 1
