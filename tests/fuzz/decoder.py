"""The other process in which Parquet files are decoded first, kept for many files: starting it takes half a second."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

__all__ = ["Decoder"]

_SERVE = """
import io, sys
from contextlib import suppress
from types import SimpleNamespace
source, code = sys.stdin.buffer, sys.argv[1]
while size := source.read(8):
    sys.stdin = SimpleNamespace(buffer=io.BytesIO(source.read(int.from_bytes(size, "big"))))
    with suppress(BaseException):
        exec(code, {})
    sys.stdout.buffer.write(b".")
    sys.stdout.flush()
"""


class Decoder:
    """Stands in for ``subprocess.run`` in the reader of Parquet files: the same code, in a process that stays."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, command: list[str], input: bytes, capture_output: bool) -> Any:
        """Return an object whose ``returncode`` is negative if the code ends its process."""
        if self._process is None:
            serve = [sys.executable, "-c", _SERVE, command[-1]]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(serve, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(len(input).to_bytes(8, "big") + input)
        process.stdin.flush()
        if process.stdout.read(1):
            return SimpleNamespace(returncode=0)
        self._process = None
        return SimpleNamespace(returncode=process.wait())

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
