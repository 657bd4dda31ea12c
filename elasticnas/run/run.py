"""Run: the folder of long work, locked while it is in use."""

import json
import math
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from elasticnas.calls import usage
from elasticnas.checkpoint import FIXED, load_checkpoint, save_checkpoint, to_builtins
from elasticnas.errors import CheckpointError, ConfigError, ElasticNASError
from elasticnas.files import LOCK, remove_temporaries
from elasticnas.run.progress import Progress
from elasticnas.run.reporting import Reporting, Shown
from elasticnas.runtime import warn

__all__ = ["Run"]

CHECKPOINT, METRICS = "checkpoint", "metrics.jsonl"


class Run:
    """Where long work is kept: a folder with its checkpoint and its metrics, for one process at a time.

    ``metrics.jsonl`` has one line of JSON for each step or evaluation, to be followed while it is written. A Run is
    given to one piece of work; :meth:`part` makes another for a piece within it.

    Args:
        folder: Made where it does not exist, and with all below it the run's own; None keeps nothing.
        resume: Continue what the folder holds. Where it holds nothing, the work begins.
        identity: Plain data that what is continued must agree with, such as a fingerprint of the data.
        progress: A function that is called after each step and each evaluation; True for a bar on stderr, with a line
            now and then in a pipe; None or False for silence; ``"auto"`` for the bar where stderr is a terminal or a
            Jupyter kernel runs.
        allow: Names of settings that may differ from those the work was begun with, such as ``{"steps",
            "weight_lr"}``; ``"batches"`` accepts other batches than those seen before. What differs is a warning.

    Attributes:
        changes: What differs from the work that is continued, in words.
        reporting: Whom it tells how far it is.

    Raises:
        ConfigError: ``allow`` names what no run can change; a folder is given and empty; ``identity`` is no plain data;
            ``progress`` is none of these.
    """

    @usage("Run('runs/name', resume=True)")
    def __init__(
        self,
        folder: "str | Path | None" = None,
        *,
        resume: bool = False,
        identity: "Mapping[str, object] | None" = None,
        progress: Shown = "auto",
        allow: Collection[str] = (),
    ) -> None:
        if isinstance(allow, str) or (fixed := FIXED & set(allow)):
            given = repr(allow) if isinstance(allow, str) else f"{sorted(fixed)}"
            raise ConfigError(f"allow={given}: a set of names of settings is needed, such as {{'steps'}}")
        if not (folder is None or isinstance(folder, (str, Path))):
            raise ConfigError(f"folder={folder!r:.100}: a path is needed, or None to keep nothing")
        if folder is not None and not str(folder):
            raise ConfigError("the folder of a run is empty: give a path, or None to keep nothing")
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

    @classmethod
    def given(cls, run: "Run | None") -> "Run":
        """What the caller of some work gave; one that keeps nothing for None.

        Raises:
            ConfigError: It is no Run, such as a path: whether the folder is resumed is the caller's to say.
        """
        if run is None or isinstance(run, Run):
            return run or cls()
        path = repr(str(run)) if isinstance(run, (str, Path)) else "'runs/name'"
        raise ConfigError(f"run={run!r:.100}: give Run({path}), or Run({path}, resume=True) to continue what it holds")

    def part(self, name: str, first: int = 0, steps: int = 0) -> "Run":
        """The run of a piece of this work, in a folder of its own.

        Args:
            name: Of the piece, and of the folder within this one.
            first: Steps of this run before the piece begins.
            steps: Of this run in all; 0 leaves the piece's own count to the progress.
        """
        folder = None if self.folder is None else self.folder / name
        made = Run(folder, resume=self.resume, identity=self.identity, allow=self.allow)
        made.reporting, made.changes = self.reporting.piece(first, steps), self.changes
        return made

    def stage(self, name: str, identity: Mapping[str, object], progress: Callable[[Progress], None]) -> "Run":
        """The run of a stage, for an owner that has looked by itself at what the folder holds: always resumed.

        Args:
            name: Of the folder within this one.
            identity: In the place of this run's.
            progress: Shows the stage, in the place of this run's bar; this run's function is told as well.
        """

        def both(p: Progress) -> None:
            progress(p)
            self.reporting.tell(p)

        folder = None if self.folder is None else self.folder / name
        return Run(folder, resume=True, identity=identity, progress=both)

    def __enter__(self) -> "Run":
        """Lock the folder, until the outermost ``with`` ends.

        Raises:
            CheckpointError: Another process, or another Run of this one, uses the folder.
            ElasticNASError: The folder cannot be written.
        """
        if self._entered == 0 and self.folder is not None:
            known = (self.folder / LOCK).exists() or (self.folder / CHECKPOINT).exists()  # copies may lack the former
            if not known and (self.folder / METRICS).exists():
                raise CheckpointError(f"{self.folder} holds a {METRICS} that no run has written; use another folder")
            self._lock = _locked(self.folder)
            remove_temporaries(self.folder)
        self._entered += 1
        self.reporting.__enter__()
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        self.reporting.__exit__(kind, error, trace)
        self._entered -= 1
        if self._entered == 0 and self._lock is not None:
            self._lock.release()
            self._lock = None

    def load(self, identity: Mapping[str, object]) -> "dict[str, Any] | None":
        """The state to continue from; None where the work begins. Metrics after it are cut off.

        Args:
            identity: Of the work: plain data that must agree with the checkpoint's, but for what ``allow`` names.

        Raises:
            CheckpointError: The checkpoint is damaged or belongs to other work, or there is one and ``resume`` is off.
        """
        path = self._path(CHECKPOINT)
        if path is None:
            return None
        if not path.exists():
            self._cut(0)
            return None
        if not self.resume:
            raise CheckpointError(f"{self.folder} holds a run already; resume=True continues it, or use another folder")
        content, changes = load_checkpoint(path, self._whole(identity), self.allow)
        for line in changes:
            self.changes.append(line)
            warn(f"{self.folder}: continues with other settings, {line}")
        self._cut(content["metrics"])
        state: dict[str, Any] = content["state"]
        return state

    def save(self, state: dict[str, Any], identity: Mapping[str, object]) -> None:
        """Write the checkpoint, whole or not at all."""
        path = self._path(CHECKPOINT)
        if path is not None:
            metrics = self.folder / METRICS  # type: ignore[operator]
            written = metrics.stat().st_size if metrics.exists() else 0
            save_checkpoint(path, {"state": state, "metrics": written}, self._whole(identity))

    def discard(self) -> None:
        """Delete the checkpoint and those of its parts, once what they led to is safe."""
        for path in [] if self.folder is None else self.folder.rglob(CHECKPOINT):
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
        """Hand progress on, counted in this run's steps."""
        self.reporting.report(progress)

    def _path(self, name: str) -> "Path | None":
        return None if self.folder is None else self.folder / name

    def _whole(self, identity: Mapping[str, object]) -> dict[str, Any]:
        return {"work": dict(identity), "caller": self.identity}

    def _cut(self, size: int) -> None:
        path = self._path(METRICS)
        if path is not None and path.exists() and path.stat().st_size > size:
            os.truncate(path, size)


def _finite(value: Any) -> Any:
    """Plain data in which what JSON cannot say, NaN and infinity, is None."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _locked(folder: Path) -> FileLock:
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
