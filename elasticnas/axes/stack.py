"""ScopeStack: the active frame of each thread and asyncio task."""

import inspect
import sys
import threading
from asyncio import _get_running_loop, current_task
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import CodeType, FrameType, TracebackType
from typing import Any

import torch

from elasticnas.axes.frames import Frame, Masked, Relaxed, Unmasked
from elasticnas.axes.quantity import Choice
from elasticnas.errors import AxisError

__all__ = ["Scope", "ScopeStack", "open_scopes", "reopen"]

_backward_id: Callable[[], int] = getattr(torch._C, "_current_graph_task_id", lambda: -1)
"""Return the id of the backward pass that the autograd engine is running on this thread, or -1 for none."""

_SUSPENDABLE_FLAGS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR | inspect.CO_COROUTINE

Call = tuple[int, CodeType]
"""A call, by the id of its frame: a reference to the frame would keep alive the locals of a closed generator."""


class _Entry:
    """An open scope on the stack of a thread.

    Attributes:
        frame: The frame that it makes active.
        task: The asyncio task that opened it; None outside of tasks.
        backward: The id of the backward pass in which it was opened; -1 for none.
        generators: Generators and coroutines that were running when it was opened, innermost first.
        suspended: Generators that were suspended when it was opened and have open scopes below it on the stack.
        thread: The thread that opened it; None in a compiled graph.
        alone: Whether no other task has a scope on this stack.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.task: Any = None
        self.thread: threading.Thread | None = None
        self.backward = -1
        self.generators: tuple[Call, ...] = ()
        self.suspended: tuple[Call, ...] = ()
        self.alone = True


class _Local(threading.local):
    """The entries of each thread, innermost last."""

    def __init__(self) -> None:
        self.entries: list[_Entry] = []


class _OpenStacks(threading.local):
    """The stacks on which each thread has open scopes, one mention per scope, the latest last."""

    def __init__(self) -> None:
        self.stacks: list[ScopeStack] = []


class ScopeStack:
    """The open scopes of one Axes object.

    Each thread and each asyncio task has its own scopes. Using a model in one that has no scope while another has
    one is an error, since it is unclear which sizes are meant.

    Args:
        name: Name of the space, for messages.
        default: Makes the frame that is active while no scope is open anywhere.
    """

    def __init__(self, name: str, default: Callable[[], Frame]) -> None:
        self._name, self._make_default = name, default
        self._default: Frame | None = None
        self._local = _Local()
        self._open_entries: dict[int, _Entry] = {}  # open in any thread or task

    def frame(self) -> Frame:
        """Return the active frame: of the innermost scope, or of the largest architecture if no scope is open.

        Raises:
            AxisError: Another thread or task has a scope open and this one has none, a generator was resumed
                while a scope opened after its own is open, or a backward pass runs a module whose scope may have
                closed.
        """
        entries = self._local.entries
        if torch.compiler.is_dynamo_compiling():  # read only what a graph can have guards on
            return entries[-1].frame if entries and entries[-1].alone else self._compiled_frame(entries)
        entry = None
        if entries:
            entry = entries[-1]
            if not entry.alone or _get_running_loop() is not None:
                entry = self._own_entry(entries)
        if (backward := _backward_id()) != -1 and (entry is None or entry.backward != backward):
            raise AxisError(
                f"an elastic module of {self._name} is run inside a backward pass, where the scope of its forward may "
                "have closed: checkpoint it with elasticnas.nn.checkpoint instead of torch.utils.checkpoint; in your "
                "own hook, open the scope inside the hook"
            )
        if entry is None:
            return self._default_frame()
        if entry.suspended:
            self._require_not_resumed(entry.suspended)
        return entry.frame

    def open(self, frame: Frame, result: Any = None) -> "Scope":
        """Return a context manager that makes a frame active and returns ``result`` on entry."""
        return Scope(self, frame, result)

    def narrowed(self, choice: Choice, index: int) -> "Scope":
        """Return a scope like the open mask scope, with one choice fixed to an option: its axes are sliced."""
        frame = self.frame()
        assert isinstance(frame, (Masked, Relaxed)), "in a slice scope every choice is already fixed"
        relaxed = frame if isinstance(frame, Relaxed) else frame.relaxed()
        return Scope(self, relaxed.narrowed(choice, index), inner=True)

    def unmasked(self) -> "Scope":
        """Return a scope in which masked axes have their full size, for the input of candidates sliced later."""
        frame = self.frame()
        return Scope(self, frame.caches.frames.get("unmasked", lambda: Unmasked(frame)), inner=True)

    def innermost(self) -> Frame | None:
        """Return the frame of the innermost scope of this thread or task; None if it has no scope."""
        entries = self._local.entries
        if torch.compiler.is_dynamo_compiling():
            return entries[-1].frame if entries else None
        entry = self._own_entry(entries)
        return None if entry is None else entry.frame

    def _compiled_frame(self, entries: list[_Entry]) -> Frame:
        if entries:
            raise AxisError(f"a compiled model of {self._name} is run while several asyncio tasks have a scope open")
        return self._default_frame()

    def _own_entry(self, entries: list[_Entry]) -> _Entry | None:
        task = _running_task()
        return next((entry for entry in reversed(entries) if entry.task is task), None)

    def _default_frame(self) -> Frame:
        if self._open_entries and not torch.compiler.is_dynamo_compiling():
            ended = [
                key for key, entry in list(self._open_entries.items()) if entry.thread and not entry.thread.is_alive()
            ]
            for key in ended:
                self._open_entries.pop(key, None)
        if self._open_entries:
            raise AxisError(
                f"another thread or asyncio task has a scope of {self._name} open, and this one has none: open one "
                f"here too, axes.at({self._name}.largest()) for the whole network"
            )
        if self._default is None:
            self._default = self._make_default()
        return self._default

    def _require_not_resumed(self, suspended: "tuple[Call, ...]") -> None:
        for running in _callers():
            if _call_id(running) in suspended:
                raise AxisError(
                    f"the generator {running.f_code.co_name} has a scope of {self._name} open, and another that was "
                    "opened later, outside of it, is still open: close that first, or open a new scope after each yield"
                )

    @property
    def entries(self) -> list[_Entry]:
        """The open scopes of this thread, innermost last."""
        return self._local.entries

    def push(self, frame: Frame, inner: bool = False) -> tuple[_Entry, list[_Entry]]:
        """Push a frame onto the stack of this thread; return the two arguments that :meth:`pop` takes."""
        entry, entries = _Entry(frame), self._local.entries
        if not torch.compiler.is_dynamo_compiling():
            entry.task, entry.backward = _running_task(), _backward_id()
            entry.thread = threading.current_thread()
            entry.alone = all(other.task is entry.task for other in entries)
            if not inner:
                self._record_generators(entry, self._own_entry(entries))
            _open_here.stacks.append(self)
            self._open_entries[id(entry)] = entry
        entries.append(entry)
        return entry, entries

    def _record_generators(self, entry: _Entry, below: _Entry | None) -> None:
        calls = [(_call_id(frame), _is_suspendable(frame)) for frame in _callers()]
        entry.generators = tuple(call for call, is_suspendable in calls if is_suspendable)
        if below is not None:
            running = {call for call, _ in calls}
            idle = tuple(each for each in below.generators if each not in running)
            entry.suspended = tuple(dict.fromkeys((*below.suspended, *idle)))
            if entry.suspended:
                self._require_not_resumed(entry.suspended)

    def pop(self, entry: _Entry, entries: list[_Entry]) -> None:
        """Remove an entry from its stack.

        Raises:
            AxisError: A scope that was opened later by the same thread or task is still open.
        """
        if entries[-1] is entry:
            entries.pop()
            later = False
        else:
            position = next(number for number, other in enumerate(entries) if other is entry)
            later = any(other.task is entry.task for other in entries[position + 1 :])
            del entries[position]
        if not torch.compiler.is_dynamo_compiling():
            self._open_entries.pop(id(entry), None)
            _remove_latest(self)
            if not entry.alone:
                for other in entries:
                    other.alone = all(one.task is other.task for one in entries)
        if later:
            raise AxisError(
                f"a scope of {self._name} is closed while one that was opened later is still open: close scopes in the "
                "reverse order of opening, those of a generator before another generator opens one"
            )


class Scope:
    """A context manager that makes a frame active; it may be entered several times.

    Args:
        stack: The stack that the frame is pushed onto.
        frame: The frame.
        result: What ``with ... as`` binds.
        inner: Whether a module opens it within its own forward, where no generator can be suspended while it is open.
    """

    def __init__(self, stack: ScopeStack, frame: Frame, result: Any = None, inner: bool = False) -> None:
        self._stack, self._frame, self._result, self._inner = stack, frame, result, inner
        self._entered: list[tuple[_Entry, list[_Entry]]] = []

    def __enter__(self) -> Any:
        self._entered.append(self._stack.push(self._frame, self._inner))
        return self._result

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.pop(*self._entered.pop(self._latest_of_thread()))

    def _latest_of_thread(self) -> int:
        """Return the position of this thread's latest entry; other threads may have entered the same scope."""
        if len(self._entered) == 1 or torch.compiler.is_dynamo_compiling():
            return -1
        here = self._stack.entries
        return max((n for n, (_, entries) in enumerate(self._entered) if entries is here), default=-1)


def _running_task() -> Any:
    return None if _get_running_loop() is None else current_task()


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _call_id(frame: FrameType) -> Call:
    return id(frame), frame.f_code


def _is_suspendable(frame: FrameType) -> bool:
    """Return whether a call can be suspended and resumed."""
    return bool(frame.f_code.co_flags & _SUSPENDABLE_FLAGS) and frame.f_code.co_filename != __file__


_open_here = _OpenStacks()


def _remove_latest(stack: ScopeStack) -> None:
    """Remove the latest mention of a stack from those of this thread; there is none if another thread opened it."""
    for position in range(len(_open_here.stacks) - 1, -1, -1):
        if _open_here.stacks[position] is stack:
            del _open_here.stacks[position]
            return


def open_scopes() -> list[tuple[ScopeStack, Frame]]:
    """Return the innermost open scope of each Axes object, to be given to :func:`reopen` later."""
    found = [(stack, stack.innermost()) for stack in dict.fromkeys(_open_here.stacks)]
    return [(stack, frame) for stack, frame in found if frame is not None]


@contextmanager
def reopen(scopes: Sequence[tuple[ScopeStack, Frame]]) -> Iterator[None]:
    """Open captured scopes again, on the thread that runs the backward pass of a checkpointed block."""
    with ExitStack() as stack:
        for scopes_of_axes, frame in scopes:
            stack.enter_context(scopes_of_axes.open(frame))
        yield
