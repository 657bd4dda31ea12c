"""A process that kills itself by SIGKILL inside one of its writes, for ``kills.py``."""

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


def watch(folder: Path, note: Path, at: int | None) -> None:
    """Watch every write of this process beneath a folder; die in one of them.

    A write to a file may die with half of its bytes on the disk; what replaces, cuts or deletes a file, before or
    after.

    Args:
        folder: Whose files count.
        note: Gets a line for each point where a kill is possible, up to where it happens.
        at: Number of the point to die at, from 0; None for none.
    """
    _Watch(folder.resolve(), os.open(note, os.O_WRONLY | os.O_CREAT | os.O_APPEND), at).begin()


class _Watch:
    def __init__(self, folder: Path, note: int, at: int | None) -> None:
        self.folder, self.note, self.left = folder, note, at
        self.open, self.system = io.open, {name: getattr(os, name) for name in ("replace", "truncate", "unlink")}

    def begin(self) -> None:
        builtins.open = io.open = self._opened  # type: ignore[assignment]
        os.replace = lambda source, target: self._around("replace", target, source, target)  # type: ignore[assignment]
        os.truncate = lambda path, size: self._around("truncate", path, path, size)  # type: ignore[assignment]
        os.unlink = lambda path, **more: self._around("unlink", path, path, **more)  # type: ignore[assignment]

    def _opened(self, file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        made = self.open(file, mode, *rest, **more)
        path = os.readlink(f"/proc/self/fd/{made.fileno()}")
        if set(mode) & set("wax+") and Path(path).is_relative_to(self.folder):
            write = made.write

            def half(data: Any) -> None:
                write(data[: len(data) // 2])
                made.flush()

            def written(data: Any) -> Any:
                self._point("half of a write to", path, lambda: half(data))
                return write(data)

            made.write = written
        return made

    def _around(self, operation: str, path: Any, *arguments: Any, **more: Any) -> None:
        counted = Path(path).absolute().is_relative_to(self.folder)
        if counted:
            self._point(f"before {operation} of", path)
        self.system[operation](*arguments, **more)
        if counted:
            self._point(f"after {operation} of", path)

    def _point(self, moment: str, path: Any, first: Callable[[], None] = lambda: None) -> None:
        name = Path(path).name
        if found := _TEMPORARY.match(name):
            name = f"{found[1]}, temporary"
        os.write(self.note, f"{moment} {name}\n".encode())
        if self.left == 0:
            first()
            os.kill(os.getpid(), signal.SIGKILL)
        self.left = None if self.left is None else self.left - 1
