"""Run: a folder with the checkpoint and metrics of long work, locked while it is in use."""

import json
import math
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from elasticnas.calls import usage
from elasticnas.checkpoint import FIXED, load_checkpoint, restoring, save_checkpoint, to_builtins
from elasticnas.errors import CheckpointError, ConfigError, ElasticNASError
from elasticnas.files import LOCK, remove_temporaries
from elasticnas.parallel import Kind, on_first, rank, start_group
from elasticnas.run.progress import Progress
from elasticnas.run.reporting import ProgressOption, Reporting
from elasticnas.runtime import warn

__all__ = ["Run"]

CHECKPOINT, METRICS = "checkpoint", "metrics.jsonl"


class Run:
    """A folder with the checkpoint and the metrics of long work, for one program at a time.

    ``metrics.jsonl`` has one line of JSON for each step or evaluation and can be read while it is written. Each Run
    belongs to one piece of work; :meth:`part` makes the Run of a part of it.

    Args:
        folder: The folder; it is created if needed and must not be used for anything else. None saves nothing.
        resume: Resume the work in the folder. If there is none, the work starts from the beginning.
        identity: Plain data that must match to resume, such as a fingerprint of the data.
        progress: A function that is called after each step and each evaluation; True for a bar on stderr (occasional
            lines in a pipe); None or False for silence; ``"auto"`` for a bar if stderr is a terminal or a Jupyter
            kernel runs.
        allow: Names of settings that may differ from those in the checkpoint, such as ``{"steps", "weight_lr"}``;
            ``"batches"`` accepts other batches. Differences give a warning.
        parallel: How the processes that torchrun has started share the model: ``"ddp"``, each holds all weights;
            ``"fsdp"``, they are sharded by ``fully_shard``. None: the model is wrapped by the caller, or there is one
            process. One process needs no sharing and ignores it.

    Attributes:
        parallel: How the processes share the model.
        changes: Differences from the settings in the checkpoint, as text.
        reporting: Reports the progress.

    Raises:
        ConfigError: ``allow`` has a name that must not differ; ``folder`` is an empty text; ``identity`` is not plain
            data; or ``progress`` or ``parallel`` has another type.
    """

    @usage("Run('runs/name', resume=True)")
    def __init__(
        self,
        folder: "str | Path | None" = None,
        *,
        resume: bool = False,
        identity: "Mapping[str, object] | None" = None,
        progress: ProgressOption = "auto",
        allow: Collection[str] = (),
        parallel: "Kind | None" = None,
    ) -> None:
        if isinstance(allow, str) or (fixed := FIXED & set(allow)):
            given = repr(allow) if isinstance(allow, str) else f"{sorted(fixed)}"
            raise ConfigError(f"allow={given}: a set of names of settings is needed, such as {{'steps'}}")
        if not (folder is None or isinstance(folder, (str, Path))):
            raise ConfigError(f"folder={folder!r:.100}: a path is needed, or None to keep nothing")
        if folder is not None and not str(folder):
            raise ConfigError("the folder of a run is empty: give a path, or None to keep nothing")
        if parallel not in (None, "ddp", "fsdp"):
            raise ConfigError(f'parallel={parallel!r:.100}: give "ddp" or "fsdp", or None')
        if parallel is not None:
            start_group()
        self.parallel = parallel
        self.folder = None if folder is None else Path(folder).absolute()
        try:
            json.dumps(identity, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"identity={identity!r}: plain data is needed, such as texts ({error})") from None
        self.resume, self.identity, self.allow = resume, to_builtins(identity or {}), frozenset(allow)
        self.changes: list[str] = []
        self.reporting = Reporting(progress)
        self._lock: FileLock | None = None
        self._entered = 0
        self._locked: os.stat_result | None = None

    @classmethod
    def given(cls, run: "Run | None") -> "Run":
        """Return a run given by a caller, or a new one that saves nothing for None.

        Raises:
            ConfigError: It is not a Run, such as a path, which does not say whether to resume.
        """
        if run is None or isinstance(run, Run):
            return run or cls()
        path = repr(str(run)) if isinstance(run, (str, Path)) else "'runs/name'"
        raise ConfigError(f"run={run!r:.100}: give Run({path}), or Run({path}, resume=True) to continue what it holds")

    def part(self, name: str, first: int = 0, steps: int = 0) -> "Run":
        """Make the run of a part of this work, in a folder within this one.

        Args:
            name: Name of the part and of its folder.
            first: Steps of this run before the part.
            steps: Total steps of this run; 0 to report the progress in the part's own steps.
        """
        folder = None if self.folder is None else self.folder / name
        made = Run(folder, resume=self.resume, identity=self.identity, allow=self.allow, parallel=self.parallel)
        made.reporting, made.changes = self.reporting.piece(first, steps), self.changes
        return made

    def stage(self, name: str, identity: Mapping[str, object], progress: Callable[[Progress], None]) -> "Run":
        """Make the run of a stage, always resumed; the caller has checked the contents of the folder.

        Args:
            name: Name of the folder within this one.
            identity: Replaces the identity of this run.
            progress: Replaces the bar of this run; the progress function of this run is called too.
        """

        def both(p: Progress) -> None:
            progress(p)
            self.reporting.tell(p)

        folder = None if self.folder is None else self.folder / name
        return Run(folder, resume=True, identity=identity, progress=both, parallel=self.parallel)

    def __enter__(self) -> "Run":
        """Lock the folder, until the outermost ``with`` ends.

        Raises:
            CheckpointError: Another process, or another Run of this one, uses the folder.
            ElasticNASError: The folder cannot be written.

        On leaving, a folder that was deleted or replaced meanwhile raises a CheckpointError.
        """
        if self._entered == 0 and self.folder is not None:
            on_first(self._take)
        if rank() > 0:
            self.reporting.live = None
        self._entered += 1
        self.reporting.__enter__()
        return self

    def _take(self) -> None:
        if self.folder is not None:
            known = (self.folder / LOCK).exists() or (self.folder / CHECKPOINT).exists()  # copies may lack the lock
            if not known and (self.folder / METRICS).exists():
                raise CheckpointError(f"{self.folder} holds a {METRICS} that no run has written; use another folder")
            self._lock = _lock_folder(self.folder)
            self._locked = _stat_of(self.folder / LOCK)
            remove_temporaries(self.folder)

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        self.reporting.__exit__(kind, error, trace)
        self._entered -= 1
        if self._entered == 0 and self._lock is not None:
            now, before = _stat_of(self._lock.lock_file), self._locked
            self._lock.release()
            self._lock = None
            gone = before is not None and (now is None or now.st_ino != before.st_ino)
            if gone and error is None:
                raise CheckpointError(
                    f"{self.folder} was deleted or replaced while the run wrote to it: what is there is incomplete; "
                    "run again into another folder"
                )

    def load(self, identity: Mapping[str, object]) -> "dict[str, Any] | None":
        """Load the checkpoint, and remove metrics written after it.

        Args:
            identity: Identity of the work: plain data that must match the checkpoint, except for names in ``allow``.

        Returns:
            The saved state; None if there is no checkpoint.

        Raises:
            CheckpointError: The checkpoint is damaged or belongs to other work, or there is one and ``resume`` is off.
        """
        if self.folder is None:
            return None
        found = on_first(lambda: self._read(self.folder / CHECKPOINT, identity))  # type: ignore[operator]
        if found is None:
            return None
        state, changes = found
        for line in changes:
            self.changes.append(line)
            if rank() == 0:
                warn(f"{self.folder}: continues with other settings, {line}")
        return state

    def _read(self, path: Path, identity: Mapping[str, object]) -> "tuple[dict[str, Any], list[str]] | None":
        if not path.exists():
            self._cut(0)
            return None
        if not self.resume:
            raise CheckpointError(f"{self.folder} holds a run already; resume=True continues it, or use another folder")
        content, changes = load_checkpoint(path, self._full_identity(identity), self.allow)
        with restoring(path):
            state, written = content["state"], content["metrics"]
            if not isinstance(state, dict) or type(written) is not int or written < 0:
                raise TypeError("its state is no mapping, or its metrics have no length")
        self._cut(written)
        return state, changes

    def restoring(self) -> AbstractContextManager[None]:
        """Return a context in which an error of restoring the loaded state is a CheckpointError."""
        return restoring(None if self.folder is None else self.folder / CHECKPOINT)

    def save(self, state: dict[str, Any], identity: Mapping[str, object]) -> None:
        """Write the checkpoint atomically; on several processes, rank 0 writes, and the others wait for it."""

        def write(folder: Path) -> None:
            metrics = folder / METRICS
            written = metrics.stat().st_size if metrics.exists() else 0
            save_checkpoint(folder / CHECKPOINT, {"state": state, "metrics": written}, self._full_identity(identity))

        if self.folder is not None:
            on_first(lambda: write(self.folder))  # type: ignore[arg-type]

    def discard(self) -> None:
        """Delete the checkpoints of the run and its parts, after their result has been saved."""
        for path in [] if self.folder is None or rank() > 0 else self.folder.rglob(CHECKPOINT):
            path.unlink(missing_ok=True)

    def record(self, figures: Mapping[str, object]) -> None:
        """Append a line to ``metrics.jsonl``."""
        path = self._path(METRICS)
        if path is None:
            return
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_finite(figures)) + "\n")
        except OSError as error:
            raise ElasticNASError(
                f"{path}: cannot be written, {error.strerror}; free space or another folder"
            ) from None

    def report(self, progress: Progress) -> None:
        """Report progress, in steps of this run."""
        self.reporting.report(progress)

    def _path(self, name: str) -> "Path | None":
        """Return the path of a file that rank 0 writes; None on other ranks, or without a folder."""
        return None if self.folder is None or rank() > 0 else self.folder / name

    def _full_identity(self, identity: Mapping[str, object]) -> dict[str, Any]:
        return {"work": dict(identity), "caller": self.identity}

    def _cut(self, size: int) -> None:
        path = self._path(METRICS)
        if path is not None and path.exists() and path.stat().st_size > size:
            os.truncate(path, size)


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by None."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _stat_of(path: "str | Path") -> "os.stat_result | None":
    try:
        return os.stat(path)
    except OSError:
        return None


def _lock_folder(folder: Path) -> FileLock:
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise CheckpointError(f"{folder} is in use by another run; wait until it ends, or use another folder") from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ElasticNASError(f"{folder}: cannot be written, {reason}; use another folder") from None
    return lock
