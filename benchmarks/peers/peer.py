"""Run the runner of another library in its own environment, and communicate with it over stdin and stdout."""

import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Peer"]


class Peer:
    """Process of another library in a temporary folder; it ends with the context.

    Args:
        python: Interpreter of the library's environment.
        name: Name of the library; ``recbole_runner.py`` is the runner of RecBole.
        hint: What to do if the process ends, such as ``use fewer --prefixes``.

    Attributes:
        folder: Working directory of the process.

    Raises:
        SystemExit: The interpreter does not exist, or the process ended without an answer.
    """

    def __init__(self, python: Path, name: str, hint: str = "") -> None:
        if not python.exists():
            raise SystemExit(
                f"{python}: no such interpreter; make {name.lower()} builds the environment; --python names another one"
            )
        self._name, self._hint = name, hint
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        serve = Path(__file__).with_name("serve.py")
        # -I isolates it from this environment; not resolved, because the target of a link is outside the venv
        self._process = subprocess.Popen(
            [str(python.absolute()), "-I", "-W", "ignore", str(serve), name.lower()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self.folder,
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
                f"{self._name}'s process ended at {do} {arguments} with exit status {self._process.wait()}: "
                f"see its messages above; -9 means out of memory{self._hint and f': {self._hint}'}"
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
        self._temporary.cleanup()
