"""Processes: commands that run in parallel and end with the program that started them."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

if sys.platform != "win32":
    import fcntl

__all__ = ["ELASTICNAS", "Processes", "environment_with", "exit_on_signals", "failure", "locked"]

ELASTICNAS = [sys.executable, "-c", "from elasticnas.cli import main; main()"]
"""The command ``elasticnas`` of this Python."""


class Processes:
    """The running processes; after :meth:`stop` no other starts.

    Attributes:
        stopping: Whether :meth:`stop` was called.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self.stopping = False

    def run(
        self, command: Sequence[str], log: IO[bytes], environment: Mapping[str, str], held: Sequence[int] = ()
    ) -> int:
        """Run a command and return its exit code; after :meth:`stop` it is not started.

        Args:
            command: The command.
            log: File of its output.
            environment: Its environment.
            held: File descriptors that it inherits, such as those of locks.
        """
        with self._lock:  # otherwise a process could start that stop() does not see
            if self.stopping:
                return -signal.SIGTERM
            # a new session: Ctrl-C in the terminal reaches only this process, which then stops its runs
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                pass_fds=held,
            )
            self._running.add(process)
        try:
            return process.wait()
        finally:
            with self._lock:
                self._running.discard(process)

    def stop(self) -> None:
        """Kill all processes; they can be resumed from their checkpoints."""
        with self._lock:
            self.stopping = True
            for process in self._running:
                process.kill()  # runs are resumable, and SIGTERM may be lost while a library is imported


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Exit on signals, so that the processes are stopped; signals do not reach them in their own sessions."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in (getattr(signal, name) for name in names)}
    # keep ignoring what nohup ignores
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, frame: FrameType | None) -> None:
    print("stopped; finished work is kept, run the same command again to resume", file=sys.stderr)
    raise SystemExit(128 + number)


def locked(file: IO[bytes]) -> bool:
    """Lock a file; return False if another process holds the lock. Windows has no such locks: always True."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def failure(log: Path, start: int, code: int) -> str:
    """Return in one line why a process failed: the signal that killed it, or the last line of its output.

    Args:
        log: File of its output.
        start: Where its output begins in the file.
        code: Its exit code.
    """
    if code < 0:
        known = {each.value: each.name for each in signal.Signals}
        return f"killed by signal {known.get(-code, -code)}"
    lines = log.read_bytes()[start:].decode("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else f"ended with code {code}"


def environment_with(threads: int) -> dict[str, str]:
    """Return this process's environment with a number of threads, and wide lines for logs."""
    return os.environ | {"OMP_NUM_THREADS": str(threads), "COLUMNS": "200"}
