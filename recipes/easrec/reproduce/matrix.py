"""The matrix: every method with every seed as a run of its own, in processes side by side, resumable."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from easrec.config import Config
from easrec.reproduce.methods import Method
from easrec.result import RunResult
from elasticnas.errors import CheckpointError, ConfigError, ElasticNASError
from elasticnas.files import write_text
from elasticnas.settings import differences

if sys.platform != "win32":
    import fcntl

__all__ = ["Cell", "run_matrix"]

_FAILED = "failed.txt"
_AFRESH = "delete the folder to run it again"
_ELSEWHERE = "another process is running it"
_AGAIN_SECONDS = 0.5
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

    def result(self) -> RunResult[Any] | None:
        """What the run measured; None while it is not done: a run writes after each network that it trains.

        Raises:
            CheckpointError: The result is damaged, of another format, or of other settings.
        """
        path = self.folder / "result.json"
        try:
            found = RunResult.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except ConfigError as error:
            raise CheckpointError(f"{path}: {error}; or {_AFRESH}") from None
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: damaged ({error}); {_AFRESH}") from None
        if found.config != self.config:
            raise CheckpointError(
                f"{path}: of other settings than {self.name} has now; delete the folder, or use another --out"
            )
        return found if found.complete else None


class _Runs:
    """Processes that are running, and whether more may start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self.stopping = False

    def run(self, command: Sequence[str], log: IO[bytes], environment: dict[str, str], held: Sequence[int]) -> int:
        """The exit code, once it has ended; none starts after ``stop``."""
        with self._lock:  # else one could start that ``stop`` has not seen
            if self.stopping:
                return -signal.SIGTERM
            # a session of its own: Ctrl-C in the terminal reaches the parent, which ends its runs
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
        """End all; they keep their checkpoints."""
        with self._lock:
            self.stopping = True
            for process in self._running:
                process.kill()  # runs go on after it; a signal that asks may be lost while a library is imported


def run_matrix(
    cells: Sequence[Cell],
    data: Path,
    jobs: int,
    threads: int,
    device: str,
    progress: Callable[[int, int, float, str], None],
) -> list[tuple[Cell, str]]:
    """Run what is not done.

    Each run is ``elasticnas easrec run --resume`` in a process of its own, its output in ``log.txt`` of its folder. A
    run that fails leaves ``failed.txt`` and does not stop the others. Whatever ends this process, but SIGKILL, ends its
    runs too.

    Args:
        cells: The runs, in order.
        data: Prepared interactions, .npz.
        jobs: Runs side by side.
        threads: CPU threads of each.
        device: As the option of ``run``.
        progress: ``progress(done, all, seconds left, line)`` after each run.

    Returns:
        Those that failed, each with the reason in one line.
    """
    failed: list[tuple[Cell, str]] = []
    open_: list[Cell] = []
    for cell in cells:
        try:
            if cell.result() is None:
                open_.append(cell)
        except CheckpointError as error:
            failed.append((cell, str(error)))
    runs, started = _Runs(), time.monotonic()

    def one(cell: Cell) -> str | None:
        try:
            return _run(cell, data, threads, device, runs)
        except (OSError, ElasticNASError) as error:
            said = getattr(error, "strerror", None) or error
            reason = f"{getattr(error, 'filename', None) or cell.folder}: {said}"
            with suppress(OSError, ElasticNASError):  # a full disk may be the reason
                write_text(cell.folder / _FAILED, reason + "\n")
            return reason

    with _ended_by_signals(), ThreadPoolExecutor(jobs) as pool:
        try:
            waiting: dict[Future[str | None], Cell] = {pool.submit(one, cell): cell for cell in open_}
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    cell, reason = waiting.pop(future), future.result()
                    if reason is _ELSEWHERE:  # after the others, when it may be done
                        time.sleep(_AGAIN_SECONDS)
                        waiting[pool.submit(one, cell)] = cell
                        continue
                    if reason is not None:
                        failed.append((cell, reason))
                    finished = len(open_) - len(waiting)
                    left = (time.monotonic() - started) / finished * len(waiting)
                    word = "done" if reason is None else f"failed ({reason})"
                    progress(len(cells) - len(waiting), len(cells), left, f"{cell.name}: {word}")
        except BaseException:
            runs.stop()
            raise
    return failed


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Runs have sessions of their own, which a signal to this process does not reach: it must end them itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in (getattr(signal, name) for name in names)}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}  # nohup
    for number in before:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    print("stopped; what was done is kept, the same command goes on", file=sys.stderr)
    raise SystemExit(128 + number)


def _run(cell: Cell, data: Path, threads: int, device: str, runs: _Runs) -> str | None:
    """Why it failed; None where it did not, or was stopped."""
    if runs.stopping:
        return None
    cell.folder.mkdir(parents=True, exist_ok=True)
    with (cell.folder / "run.lock").open("ab") as lock, (cell.folder / "log.txt").open("ab") as log:
        if not _locked(lock):
            return _ELSEWHERE
        if cell.result() is not None:  # by another process since
            return None
        failed = cell.folder / _FAILED
        failed.unlink(missing_ok=True)
        at = log.tell()
        # the run holds the lock as well, for as long as it lives, should this process be killed
        held = () if sys.platform == "win32" else (lock.fileno(),)
        code = runs.run(_command(cell, data, threads, device), log, _environment(threads), held)
        if code == 0 or runs.stopping:
            return None
        said = (cell.folder / "log.txt").read_bytes()[at:].decode("utf-8", "replace").strip().splitlines()
        reason = said[-1].removeprefix("error: ") if said else f"ended with code {code}"
        if code < 0:
            known = {each.value: each.name for each in signal.Signals}
            reason = f"killed by signal {known.get(-code, -code)}"
        write_text(failed, reason + "\n")
        return reason


def _locked(file: IO[bytes]) -> bool:
    """Whether nobody else has it; always so where the system has no such locks."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _environment(threads: int) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": str(threads), "COLUMNS": "200"}


def _command(cell: Cell, data: Path, threads: int, device: str) -> list[str]:
    settings = [
        word for key, (value, _) in differences(cell.config).items() for word in ("--set", f"{key}={json.dumps(value)}")
    ]
    # the matrix has a report of its own
    run = ["easrec", "run", "--resume", "--no-report", "--data", str(data), "--out", str(cell.folder)]
    run += ["--device", device, "--threads", str(threads)]
    return [sys.executable, "-c", _COMMAND, *run, *settings]
