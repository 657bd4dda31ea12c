"""The matrix: every method with every seed as a run of its own, in processes side by side, resumable."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easrec.config import Config
from easrec.reproduce.methods import Method
from elasticnas.errors import CheckpointError, ElasticNASError
from elasticnas.extraction import write_text

__all__ = ["Cell", "run_matrix"]

_COMMAND = "from elasticnas.cli import main; main()"


@dataclass(frozen=True)
class Cell:
    """One run of the matrix.

    Attributes:
        method: What runs.
        seed: Of everything that draws.
        folder: Of the run.
        config: Its whole configuration.
    """

    method: Method
    seed: int
    folder: Path
    config: Config

    @property
    def name(self) -> str:
        """Such as ``sasrec/0``: for ``--only``."""
        return f"{self.method.name}/{self.seed}"

    def result(self) -> dict[str, Any] | None:
        """What the run measured; None while it is not done.

        Raises:
            CheckpointError: The result is damaged, or of other settings.
        """
        path = self.folder / "result.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            settings = found["config"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path}: damaged ({error}); delete the folder to run it again") from None
        if settings != self.config.model_dump(mode="json"):
            raise CheckpointError(
                f"{path}: of other settings than {self.name} has now; delete the folder, or use another --out"
            )
        return found

    def failure(self) -> str | None:
        """The line that the last try ended with; None where it did not fail."""
        path = self.folder / "failed.txt"
        return path.read_text(encoding="utf-8").strip() if path.exists() else None


def run_matrix(
    cells: Sequence[Cell],
    data: Path,
    jobs: int,
    threads: int,
    device: str,
    progress: Callable[[int, int, float, str], None],
) -> list[Cell]:
    """Run what is not done.

    Each run is ``elasticnas easrec run --resume`` in a process of its own, its output in ``log.txt`` of its folder. A
    run that fails leaves ``failed.txt`` and does not stop the others.

    Args:
        cells: The runs, in order.
        data: Prepared interactions, .npz.
        jobs: Runs side by side.
        threads: CPU threads of each.
        device: As the option of ``run``.
        progress: ``progress(done, all, seconds left, line)`` after each run.

    Returns:
        Those that failed.
    """
    open_ = [cell for cell in cells if cell.result() is None]
    failed: list[Cell] = []
    running: set[subprocess.Popen[bytes]] = set()
    stopping, started = threading.Event(), time.monotonic()

    def one(cell: Cell) -> int:
        if stopping.is_set():
            return -1
        return _run(cell, data, threads, device, running)

    with ThreadPoolExecutor(jobs) as pool:
        waiting: dict[Future[int], Cell] = {pool.submit(one, cell): cell for cell in open_}
        try:
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    cell = waiting.pop(future)
                    ended = future.result()
                    if ended != 0:
                        failed.append(cell)
                    finished = len(open_) - len(waiting)
                    left = (time.monotonic() - started) / finished * len(waiting)
                    word = "done" if ended == 0 else f"failed ({cell.failure()})"
                    progress(len(cells) - len(waiting), len(cells), left, f"{cell.name}: {word}")
        except BaseException:
            stopping.set()
            for process in list(running):
                process.terminate()
            raise
    return failed


def _run(cell: Cell, data: Path, threads: int, device: str, running: "set[subprocess.Popen[bytes]]") -> int:
    try:
        cell.folder.mkdir(parents=True, exist_ok=True)
        log = (cell.folder / "log.txt").open("ab")
    except OSError as error:
        raise ElasticNASError(f"{cell.folder}: {error.strerror}") from None
    (cell.folder / "failed.txt").unlink(missing_ok=True)
    settings = [word for key, value in _leaves(cell.config) for word in ("--set", f"{key}={json.dumps(value)}")]
    command = [
        sys.executable,
        "-c",
        _COMMAND,
        "easrec",
        "run",
        "--resume",
        "--data",
        str(data),
        "--out",
        str(cell.folder),
    ]
    command += ["--device", device, "--threads", str(threads), *settings]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "COLUMNS": "200"}
    with log:
        at = log.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, preexec_fn=_alone
        )
        running.add(process)
        try:
            code = process.wait()
        finally:
            running.discard(process)
    if code != 0:
        said = (cell.folder / "log.txt").read_bytes()[at:].decode("utf-8", "replace").strip().splitlines()
        reason = said[-1] if said else f"ended with code {code}"
        if code < 0:
            reason = f"killed by signal {signal.Signals(-code).name}"
        write_text(cell.folder / "failed.txt", reason.removeprefix("error: ") + "\n")
    return code


def _alone() -> None:
    """Ctrl-C reaches the parent, which ends its runs; they keep their checkpoints."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leaves(config: Config) -> list[tuple[str, Any]]:
    """Settings that differ from the defaults, by dotted name."""
    found: list[tuple[str, Any]] = []

    def walk(given: dict[str, Any], default: dict[str, Any], prefix: str) -> None:
        for key, value in given.items():
            if isinstance(value, dict) and isinstance(default[key], dict):
                walk(value, default[key], f"{prefix}{key}.")
            elif value != default[key]:
                found.append((prefix + key, value))

    walk(config.model_dump(mode="json"), Config().model_dump(mode="json"), "")
    return found
