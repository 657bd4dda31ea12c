"""The other process in which Parquet files are decoded first, kept for many files: starting it takes half a second."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

__all__ = ["Decoder"]

_SERVE = """
import io, sys
from types import SimpleNamespace
source, answer = sys.stdin.buffer, sys.stdout.buffer
part = lambda: source.read(int.from_bytes(source.read(8), "big"))
while code := part():
    sys.stdin = SimpleNamespace(buffer=io.BytesIO(part()))
    sys.stdout, status = io.StringIO(), 0
    try:
        exec(code, {})
    except SystemExit as left:
        status = left.code
    except BaseException:
        status = 1
    text = sys.stdout.getvalue().encode(errors="replace")
    answer.write(bytes([status]) + len(text).to_bytes(8, "big") + text)
    answer.flush()
"""


class Decoder:
    """Stands in for ``subprocess.run`` in the reader of Parquet files: the same code, in a process that stays."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, command: list[str], input: bytes, capture_output: bool) -> Any:
        """Return an object with ``stdout`` and ``returncode``, which is negative if the code ends its process."""
        if self._process is None:
            serve, pipe = [sys.executable, "-c", _SERVE], subprocess.PIPE
            self._process = subprocess.Popen(serve, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        for part in (command[-1].encode(), input):
            process.stdin.write(len(part).to_bytes(8, "big") + part)
        process.stdin.flush()
        if status := process.stdout.read(1):
            text = process.stdout.read(int.from_bytes(process.stdout.read(8), "big"))
            return SimpleNamespace(returncode=status[0], stdout=text)
        self._process = None
        return SimpleNamespace(returncode=process.wait(), stdout=b"")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
