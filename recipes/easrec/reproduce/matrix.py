"""The matrix of runs: every method with every seed, in parallel processes, resumable."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easrec.config import Config
from easrec.reproduce.methods import Method
from easrec.result import RunResult
from elasticnas.errors import CheckpointError, ConfigError, ElasticNASError
from elasticnas.files import read_json, write_text
from elasticnas.run.processes import ELASTICNAS, Processes, environment_with, exit_on_signals, failure, locked
from elasticnas.settings import differences

__all__ = ["Cell", "run_matrix"]

_FAILED = "failed.txt"
_RERUN = "delete the folder to run it again"
_ELSEWHERE = "another process is running it"
_RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class Cell:
    """One run of the matrix.

    Attributes:
        method: The method.
        seed: Random seed.
        folder: Folder of the run.
        config: The whole configuration of the run.
    """

    method: Method
    seed: int
    folder: Path
    config: Config

    @property
    def name(self) -> str:
        """Name of the run for ``--only``, such as ``sasrec/0``."""
        return f"{self.method.name}/{self.seed}"

    def result(self) -> RunResult[Any] | None:
        """Return the result of the run; None if the run is not complete.

        Raises:
            CheckpointError: The result is damaged, or has another format or other settings.
        """
        path = self.folder / "result.json"
        try:
            found = RunResult.from_dict(read_json(path))
        except FileNotFoundError:
            return None
        except ConfigError as error:
            raise CheckpointError(f"{path}: {error}; or {_RERUN}") from None
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: damaged ({error}); {_RERUN}") from None
        if found.config != self.config:
            raise CheckpointError(
                f"{path}: has other settings than {self.name} now; delete the folder, or use another --out"
            )
        return found if found.complete else None


def run_matrix(
    cells: Sequence[Cell],
    data: Path,
    jobs: int,
    threads: int,
    device: str,
    progress: Callable[[int, int, float, str], None],
) -> list[tuple[Cell, str]]:
    """Run all runs that are not complete.

    Each run is a process ``elasticnas easrec run --resume``, with its output in ``log.txt`` of its folder. A run that
    fails writes ``failed.txt`` and does not stop the others. Any signal that ends this process also ends its runs,
    except SIGKILL.

    Args:
        cells: The runs, in order.
        data: Prepared interactions, .npz.
        jobs: Number of runs in parallel.
        threads: CPU threads of each run.
        device: Name of the device.
        progress: Called as ``progress(done, all, seconds_left, line)`` after each run.

    Returns:
        The failed runs, each with the reason in one line.
    """
    failed: list[tuple[Cell, str]] = []
    unfinished: list[Cell] = []
    for cell in cells:
        try:
            if cell.result() is None:
                unfinished.append(cell)
        except CheckpointError as error:
            failed.append((cell, str(error)))
    runs, started = Processes(), time.monotonic()

    def one(cell: Cell) -> str | None:
        try:
            return _run(cell, data, threads, device, runs)
        except (OSError, ElasticNASError) as error:
            message = getattr(error, "strerror", None) or error
            reason = f"{getattr(error, 'filename', None) or cell.folder}: {message}"
            with suppress(OSError, ElasticNASError):  # a full disk may be the reason
                write_text(cell.folder / _FAILED, reason + "\n")
            return reason

    with exit_on_signals(), ThreadPoolExecutor(jobs) as pool:
        try:
            waiting: dict[Future[str | None], Cell] = {pool.submit(one, cell): cell for cell in unfinished}
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    cell, reason = waiting.pop(future), future.result()
                    if reason is _ELSEWHERE:  # try again after the others
                        time.sleep(_RETRY_SECONDS)
                        waiting[pool.submit(one, cell)] = cell
                        continue
                    if reason is not None:
                        failed.append((cell, reason))
                    finished = len(unfinished) - len(waiting)
                    left = (time.monotonic() - started) / finished * len(waiting)
                    word = "done" if reason is None else f"failed ({reason})"
                    progress(len(cells) - len(waiting), len(cells), left, f"{cell.name}: {word}")
        except BaseException:
            runs.stop()
            raise
    return failed


def _run(cell: Cell, data: Path, threads: int, device: str, runs: Processes) -> str | None:
    """Execute a run and return the reason if it failed; None if it finished or was stopped."""
    if runs.stopping:
        return None
    cell.folder.mkdir(parents=True, exist_ok=True)
    with (cell.folder / "run.lock").open("ab") as lock, (cell.folder / "log.txt").open("ab") as log:
        if not locked(lock):
            return _ELSEWHERE
        if cell.result() is not None:  # finished by another process
            return None
        failed = cell.folder / _FAILED
        failed.unlink(missing_ok=True)
        at = log.tell()
        # the run inherits the lock, so that it stays locked if this process is killed
        held = () if sys.platform == "win32" else (lock.fileno(),)
        code = runs.run(_command(cell, data, threads, device), log, environment_with(threads), held)
        if code == 0 or runs.stopping:
            return None
        reason = failure(cell.folder / "log.txt", at, code)
        write_text(failed, reason + "\n")
        return reason


def _command(cell: Cell, data: Path, threads: int, device: str) -> list[str]:
    settings = [
        word for key, (value, _) in differences(cell.config).items() for word in ("--set", f"{key}={json.dumps(value)}")
    ]
    # the matrix writes one report for all runs
    run = ["easrec", "run", "--resume", "--no-report", "--data", str(data), "--out", str(cell.folder)]
    run += ["--device", device, "--threads", str(threads)]
    return [*ELASTICNAS, *run, *settings]
