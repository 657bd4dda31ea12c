"""drive: the loop of all long work, with timing, checkpoints, interruption and progress."""

import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from elasticnas.parallel import gathered, on_any, rank, require_same, size
from elasticnas.run.batches import BatchStream
from elasticnas.run.progress import Progress
from elasticnas.run.run import Run
from elasticnas.runtime import random_state, restore_random_state, warn

__all__ = ["PlainState", "Stateful", "Work", "drive"]


class Stateful(Protocol):
    """An object whose state a checkpoint can save: modules, optimizers, streams of batches."""

    def state_dict(self) -> Any:
        """Return tensors and plain data."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Restore the state."""


class PlainState(dict[str, Any]):
    """A dict of plain data that a checkpoint saves."""

    def state_dict(self) -> dict[str, Any]:
        """Return the data."""
        return dict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the data.

        Raises:
            KeyError: An entry is missing.
        """
        self.update({name: state[name] for name in self} | dict(state))


class Work(Protocol):
    """Work in steps, whose state can be saved between steps.

    Attributes:
        step: Number of steps so far.
    """

    step: int

    @property
    def steps(self) -> int:
        """Number of steps, if nothing ends the work earlier."""

    @property
    def done(self) -> bool:
        """Whether no step is left."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Plain data that must match to resume the work."""

    def advance(self) -> Mapping[str, Any]:
        """Take one step and return its figures."""

    def parts(self) -> Mapping[str, Stateful]:
        """Return the objects that a checkpoint saves, by name; step and global random states are saved anyway."""


def drive(work: Work, run: Run, stage: str, checkpoint_every: int) -> float:
    """Take the remaining steps of some work.

    A checkpoint is written every ``checkpoint_every`` steps, at the end, and at Ctrl-C, which takes effect after the
    current step; a second Ctrl-C takes effect immediately.

    Args:
        work: The work.
        run: Saves and resumes it.
        stage: Name of the stage for progress reports.
        checkpoint_every: Steps between checkpoints.

    Returns:
        Total seconds, interrupted runs included.

    Raises:
        CheckpointError: The run's checkpoint is damaged or belongs to other work, or another process uses the folder.
    """
    with run, _deferred_interrupt() as pressed:

        def interrupted() -> bool:
            return on_any(pressed())

        before = 0.0
        require_same("model, settings or data", {"work": work.identity, "caller": run.identity})
        state = run.load(work.identity)
        if state is not None:
            with run.restoring():
                before = _restore(work, state, run)
        started, first = time.perf_counter(), work.step
        while not work.done:
            figures = work.advance()
            seconds = time.perf_counter() - started
            run.record({"step": work.step, **figures})
            stop = interrupted()
            if work.done or stop or work.step % checkpoint_every == 0:
                run.save(_state(work, before + seconds), work.identity)
            left = seconds / (work.step - first) * max(0, work.steps - work.step)
            if work.step == first + 1:
                _warn_of_equal_batches(work)
            run.report(Progress(stage, work.step, work.steps, _numbers(figures), left))
            if stop:
                break
        if interrupted():  # also if no step was left
            raise KeyboardInterrupt
        return before + time.perf_counter() - started


def _warn_of_equal_batches(work: Work) -> None:
    """Warn if all processes have trained on the same batch: they should share the data."""
    for name, part in work.parts().items() if size() > 1 else ():
        digests = {each["digest"] for each in gathered(part.state_dict())} if isinstance(part, BatchStream) else set()
        if len(digests) == 1 and None not in digests:  # None before its first batch
            warn(
                f"{name}: all {size()} processes get the same batch; give each its part, as by DistributedSampler or a "
                "slice by elasticnas.parallel.rank()"
            )


def _state(work: Work, seconds: float) -> dict[str, Any]:
    """Return the state of some work; on several processes also what differs between them, by rank."""
    parts = {name: part.state_dict() for name, part in work.parts().items()}
    state = {"step": work.step, "seconds": seconds, "parts": parts, "random": random_state()}
    if size() > 1:
        streams = {name: parts[name] for name, part in work.parts().items() if isinstance(part, BatchStream)}
        state["ranks"] = gathered({"random": state["random"], "streams": streams})
    return state


def _restore(work: Work, state: Mapping[str, Any], run: Run) -> float:
    """Restore the state of some work and the global random states; return the seconds that it has taken."""
    work.step = int(state["step"])
    own = _own(state, run)
    for name, part in work.parts().items():
        if name not in state["parts"]:  # an allowed change of settings has added it
            continue
        if isinstance(part, BatchStream):
            part.load_state_dict(own["streams"][name], "batches" in run.allow)
        else:
            part.load_state_dict(state["parts"][name])
    if own["random"] is not None:
        restore_random_state(own["random"])
    return float(state["seconds"])


def _own(state: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Return random states and positions of batches of this rank.

    Another number of processes has other batches, at the same positions, and other random states.
    """
    ranks = state.get("ranks") or [{"random": state["random"], "streams": state["parts"]}]
    if len(ranks) == size():
        return dict(ranks[rank()])
    line = (
        f"was saved by {len(ranks)} processes and continues on {size()}: weights, optimizer and position in "
        "the data are the same, random draws such as dropout are not"
    )
    run.changes.append(line)
    if rank() == 0:
        warn(f"{run.folder}: {line}")
    streams = {
        name: {**part, "digest": None}
        for name, part in state["parts"].items()
        if isinstance(part, dict) and "position" in part
    }
    return {"random": state["random"] if rank() == 0 else None, "streams": streams}


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items() if isinstance(value, (int, float))}


@contextmanager
def _deferred_interrupt() -> Iterator[Any]:
    """Yield a function that returns whether Ctrl-C was pressed; defers KeyboardInterrupt once.

    Does nothing in other threads, or if the program has its own handler of SIGINT.
    """
    pressed = threading.Event()

    def defer(number: int, frame: "FrameType | None") -> None:
        pressed.set()
        print("stopping after this step; Ctrl-C again stops at once", file=sys.stderr)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield pressed.is_set
        return
    signal.signal(signal.SIGINT, defer)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
