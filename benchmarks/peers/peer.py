"""Run ``recbole_runner.py`` in its own environment, and communicate with it over stdin and stdout."""

import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Peer"]

_RUNNER = Path(__file__).with_name("recbole_runner.py")


class Peer:
    """Process of RecBole in a temporary folder; it ends with the context.

    Args:
        python: Interpreter of the environment made from ``recbole.txt``.

    Raises:
        SystemExit: The interpreter does not exist, or the process ended without an answer.
    """

    def __init__(self, python: Path) -> None:
        if not python.exists():
            raise SystemExit(
                f"{python}: no such interpreter; make peers builds the environment; --python names another one"
            )
        self._folder = tempfile.TemporaryDirectory()
        # -I isolates it from this environment; not resolved, because the target of a link is outside the venv
        self._process = subprocess.Popen(
            [str(python.absolute()), "-I", "-W", "ignore", str(_RUNNER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self._folder.name,
            text=True,
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(
                f"RecBole's process ended at {do} {arguments} with exit status {self._process.wait()}: "
                "see its messages above; -9 means out of memory: use fewer --prefixes"
            )
        found: dict[str, Any] = json.loads(answer)
        return found

    def __enter__(self) -> "Peer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()
